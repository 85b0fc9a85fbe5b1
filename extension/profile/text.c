/*
 * Names, texts and tags: any valid UTF-8, in one form.
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "core/compat.h"
#include "profile/profile.h"

/*
 * Bytes allowed for each allowed character before normalisation, which joins
 * several code points into one: far more than any script needs, and a bound on
 * the work that hostile input can cause.
 */
#define MAX_BYTES_PER_CHARACTER 16

/*
 * Combining marks allowed in a row; scripts need a few, Unicode's stream-safe
 * form allows 30. The server's normalisation puts each run in order with work
 * that grows with its square, and cannot be cancelled meanwhile.
 */
#define MAX_MARKS 64

/* Characters with a width that have a combining class all the same, up to Unicode 16. */
static const pg_wchar spacing_marks[] = {
	0x1715, 0x1734, 0x1B44, 0x1BAA, 0x1BF2, 0x1BF3, 0x302E, 0x302F, 0xA953,
	0xA9C0, 0x111C0, 0x11235, 0x1134D, 0x113CF, 0x116B6, 0x1193D, 0x11F41,
	0x16FF0, 0x16FF1, 0x1D165, 0x1D166, 0x1D16D, 0x1D16E, 0x1D16F, 0x1D170,
	0x1D171, 0x1D172
};

/* Whether normalisation may move the character. */
static bool
is_mark(const unsigned char *bytes)
{
	pg_wchar	c = utf8_to_unicode(bytes);

	if (c < 0x300)
		return false;
	if (pg_encoding_dsplen(PG_UTF8, (const char *) bytes) == 0)
		return true;
	for (int i = 0; i < (int) lengthof(spacing_marks); i++)
	{
		if (c == spacing_marks[i])
			return true;
	}
	return false;
}

static bool
has_too_many_marks(const char *bytes, int size)
{
	int			marks = 0;

	for (int i = 0; i < size; i += pg_utf_mblen((const unsigned char *) bytes + i))
	{
		marks = is_mark((const unsigned char *) bytes + i) ? marks + 1 : 0;
		if (marks > MAX_MARKS)
			return true;
	}
	return false;
}

static bool
is_control(pg_wchar c)
{
	return c < 0x20 || (c >= 0x7F && c < 0xA0);
}

static bool
is_space(pg_wchar c)
{
	return c == 0x20 || c == 0x0A || c == 0xA0 || c == 0x1680 ||
		(c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
		c == 0x202F || c == 0x205F || c == 0x3000;
}

/* Characters that show nothing by themselves: a name of these is blank. */
static bool
is_invisible(pg_wchar c)
{
	return is_space(c) || c == 0xAD || c == 0x034F || c == 0x061C ||
		c == 0x115F || c == 0x1160 || c == 0x17B4 || c == 0x17B5 ||
		(c >= 0x180B && c <= 0x180F) || (c >= 0x200B && c <= 0x200F) ||
		(c >= 0x202A && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) ||
		c == 0x2800 || c == 0x3164 || (c >= 0xFE00 && c <= 0xFE0F) ||
		c == 0xFEFF || c == 0xFFA0 || (c >= 0xE0000 && c <= 0xE0FFF);
}

static bool
is_ascii(const char *bytes, int size)
{
	for (int i = 0; i < size; i++)
	{
		if (IS_HIGHBIT_SET(bytes[i]))
			return false;
	}
	return true;
}

ProfileText
profile_clean_text(const char *bytes, int size, int max_characters, bool lines, text **clean)
{
	char	   *out;
	char	   *start = NULL;	/* first character that is not white space */
	char	   *end = NULL;		/* behind the last one */
	int			length = 0;		/* bytes in out */
	int			characters = 0; /* from start on */
	int			kept = 0;		/* from start to end */
	bool		visible = false;

	if (size > max_characters * MAX_BYTES_PER_CHARACTER)
		return PROFILE_TEXT_LONG;
	if (!is_ascii(bytes, size))
	{
		text	   *normal;

		if (has_too_many_marks(bytes, size))
			return PROFILE_TEXT_MARKS;
		normal = DatumGetTextPP(DirectFunctionCall2(unicode_normalize_func,
													PointerGetDatum(cstring_to_text_with_len(bytes, size)),
													PointerGetDatum(cstring_to_text("NFC"))));
		bytes = VARDATA_ANY(normal);
		size = VARSIZE_ANY_EXHDR(normal);
	}

	out = palloc(size + 1);
	for (int i = 0, n; i < size; i += n)
	{
		pg_wchar	c;

		n = pg_utf_mblen((const unsigned char *) bytes + i);
		c = utf8_to_unicode((const unsigned char *) bytes + i);
		if (c == 0x0D && lines && i + 1 < size && bytes[i + 1] == 0x0A)
			continue;			/* CR LF becomes LF */
		if (is_control(c) && !(lines && c == 0x0A))
			return PROFILE_TEXT_CONTROL;
		if (start == NULL && is_space(c))
			continue;
		memcpy(out + length, bytes + i, n);
		if (start == NULL)
			start = out;
		length += n;
		characters++;
		if (!is_space(c))
		{
			end = out + length;
			kept = characters;
			visible |= !is_invisible(c);
		}
	}
	if (!visible)
		return PROFILE_TEXT_BLANK;
	if (kept > max_characters)
		return PROFILE_TEXT_LONG;
	*clean = cstring_to_text_with_len(start, end - start);
	pfree(out);
	return PROFILE_TEXT_OK;
}
