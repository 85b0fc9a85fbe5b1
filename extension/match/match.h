/* The match topic: the key and query types, their operators and index. */
#ifndef MATCH_H
#define MATCH_H

/* Chooses the SIMD path; called once when the module is loaded. */
extern void match_init(void);

#endif
