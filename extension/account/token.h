/* Access tokens as request_begin() reads them; private to this topic. */
#ifndef ACCOUNT_TOKEN_H
#define ACCOUNT_TOKEN_H

/* What a token claims. It points into the token's text, nothing is verified. */
typedef struct AccessToken
{
	const char *text;
	size_t		header_size;	/* the first segment, encoded */
	size_t		signed_size;	/* the first two segments and the dot between */
	size_t		size;
	int64		person;
	int64		session;
	int64		expires;		/* seconds since 1970 */
} AccessToken;

/* Whether the text has exactly the shape of our tokens; fills in *token. */
extern bool account_read_token(const char *text, size_t size, AccessToken *token);

/* Whether the signature is that of the key. */
extern bool account_token_signed(const AccessToken *token, const uint8 *secret, size_t secret_size);

/* Seconds since 1970, rounded down. */
extern int64 account_unix_time(int64 timestamp);

#endif
