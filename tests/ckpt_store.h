/*
 * tests/ckpt_store.h - a store whose checkpoints and key tables are made where a test says so, and
 * which knows what is in it.
 */
#ifndef CAIRN_TESTS_CKPT_STORE_H
#define CAIRN_TESTS_CKPT_STORE_H

#include "storage/checkpoint.h"
#include "tests/store_fixture.h"

#define CKPT_KEYS 60

/** a store that writes a checkpoint whenever it is closed, what is in it, and what it said */
typedef struct st_ckpt_store_t {
    fixture_t f;
    unsigned numbers[CKPT_KEYS]; /* of the values; 0: no such key */
    unsigned number;
    char lines[4][CAIRN_ERRMSG_BYTES]; /* the newest, from the latest open on */
    unsigned line_count;
    uint64_t bytes_total; /* that the latest open had to read */
} ckpt_store_t;

/** Not opened yet; a checkpoint is written at each close, nothing else by itself. */
void ckpt_init(ckpt_store_t *s);

cairn_err_t ckpt_open(ckpt_store_t *s);
void ckpt_close(ckpt_store_t *s);

/** Opens, and looks at every key; ends the test if it does not open. */
void ckpt_check_all(ckpt_store_t *s);
unsigned ckpt_count_wrong(ckpt_store_t *s);

/** What the latest open has said: anything; that the index is from the checkpoint; that it is not.
 */
bool ckpt_has_said(const ckpt_store_t *s, const char *what);
bool ckpt_is_restored(const ckpt_store_t *s);
bool ckpt_has_fallen_back(const ckpt_store_t *s);

void ckpt_write_one(ckpt_store_t *s, unsigned key, bool is_delete);

/** Over several segments: new keys, overwritten ones, deleted ones. */
void ckpt_write_some(ckpt_store_t *s, unsigned count);

/** A closed store of some segments with a checkpoint. */
void ckpt_make_closed(ckpt_store_t *s);

/** The checkpoint's path, until the next call for a path, and its header. */
const char *ckpt_path(const ckpt_store_t *s);
cairn_checkpoint_header_t ckpt_header(const ckpt_store_t *s);

/** Flips a bit in the middle of the oldest segment, far from header and footer. */
void ckpt_flip_in_oldest(const ckpt_store_t *s);

#endif
