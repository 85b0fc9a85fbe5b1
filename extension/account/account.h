/* The account topic: who is calling, tokens and passwords. */
#ifndef ACCOUNT_H
#define ACCOUNT_H

/* Defines the identity settings; called once when the module is loaded. */
extern void account_init(void);

/* The person acting now, 0 when nobody is. */
extern int64 account_current_person(void);

/* The person acting now; raises authentication_required when nobody is. */
extern int64 account_acting_person(void);

/*
 * The same without a look whether the person is still there: for who reads rows
 * that go with the person, and calls account_check_acting_person() where they
 * are missing.
 */
extern int64 account_held_person(void);
extern void account_check_acting_person(void);

#endif
