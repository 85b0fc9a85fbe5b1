/* The account topic: who is calling, tokens and passwords. */
#ifndef ACCOUNT_H
#define ACCOUNT_H

/* Defines the identity settings; called once when the module is loaded. */
extern void account_init(void);

#endif
