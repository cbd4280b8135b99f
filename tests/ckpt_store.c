/*
 * tests/ckpt_store.c - a store whose checkpoints and key tables are made where a test says so.
 */
#include "tests/ckpt_store.h"

#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void on_line(void *ctx, cairn_log_level_t level, const char *line)
{
    ckpt_store_t *s = ctx;
    (void)level;
    snprintf(s->lines[s->line_count++ % 4], CAIRN_ERRMSG_BYTES, "%s", line);
}

static bool on_progress(void *ctx, uint64_t bytes_done, uint64_t bytes_total)
{
    ckpt_store_t *s = ctx;
    CU_ASSERT(bytes_done <= bytes_total);
    s->bytes_total = bytes_total;
    return true;
}

void ckpt_init(ckpt_store_t *s)
{
    memset(s, 0, sizeof(*s));
    fixture_init(&s->f, TEMP_DIR_IN_MEMORY);
    s->f.options.on_log = on_line;
    s->f.options.on_progress = on_progress;
    s->f.options.ctx = s;
    s->f.options.checkpoint_bytes = 1;
    s->f.options.upkeep_by_hand = true; /* nothing is made but where a test says so */
}

cairn_err_t ckpt_open(ckpt_store_t *s)
{
    s->line_count = 0;
    s->bytes_total = 0;
    return fixture_open(&s->f);
}

bool ckpt_has_said(const ckpt_store_t *s, const char *what)
{
    for (unsigned i = 0; i < s->line_count && i < 4; ++i)
        if (strstr(s->lines[i], what) != NULL)
            return true;
    return false;
}

bool ckpt_is_restored(const ckpt_store_t *s)
{
    return ckpt_has_said(s, "is from index.ckpt");
}

bool ckpt_has_fallen_back(const ckpt_store_t *s)
{
    return ckpt_has_said(s, "index.ckpt: not used") && !ckpt_is_restored(s);
}

static size_t value_of(char *room, unsigned key, unsigned number)
{
    size_t bytes = 300 + number * 37 % 1200;
    memset(room, 'a' + (int)(number % 26), bytes);
    snprintf(room, bytes, "key %u, value %u", key, number);
    return bytes;
}

void ckpt_write_one(ckpt_store_t *s, unsigned key, bool is_delete)
{
    char name[16], room[2048];
    snprintf(name, sizeof(name), "key %u", key);
    if (is_delete) {
        cairn_err_t err = fixture_delete(&s->f, name).err;
        CU_ASSERT(err == CAIRN_OK || err == CAIRN_ERR_NOT_FOUND);
        s->numbers[key] = 0;
        return;
    }
    size_t bytes = value_of(room, key, ++s->number);
    CU_ASSERT_EQUAL(fixture_write(&s->f, CAIRN_WRITE_PUT, text(name), (cairn_bytes_t){0},
                                  (cairn_bytes_t){room, bytes}, CAIRN_SYNC)
                        .err,
                    CAIRN_OK);
    s->numbers[key] = s->number;
}

void ckpt_write_some(ckpt_store_t *s, unsigned count)
{
    for (unsigned i = 0; i < count; ++i)
        ckpt_write_one(s, i * 7 % CKPT_KEYS, i % 5 == 4);
}

unsigned ckpt_count_wrong(ckpt_store_t *s)
{
    unsigned wrong = 0;
    for (unsigned key = 0; key < CKPT_KEYS; ++key) {
        char name[16], room[2048];
        cairn_value_t value;
        snprintf(name, sizeof(name), "key %u", key);
        cairn_err_t err = fixture_get(&s->f, text(name), &value);
        if (s->numbers[key] == 0) {
            wrong += err != CAIRN_ERR_NOT_FOUND;
        } else {
            size_t bytes = value_of(room, key, s->numbers[key]);
            wrong +=
                err != CAIRN_OK || value.count != bytes || memcmp(value.bytes, room, bytes) != 0;
        }
    }
    return wrong;
}

void ckpt_check_all(ckpt_store_t *s)
{
    cairn_err_t err = ckpt_open(s);
    if (err != CAIRN_OK)
        fprintf(stderr, "\n%s\n", s->f.errmsg);
    CU_ASSERT_EQUAL_FATAL(err, CAIRN_OK);
    CU_ASSERT_EQUAL(ckpt_count_wrong(s), 0);
}

void ckpt_close(ckpt_store_t *s)
{
    CU_ASSERT_EQUAL(fixture_close(&s->f), CAIRN_OK);
}

void ckpt_make_closed(ckpt_store_t *s)
{
    ckpt_init(s);
    CU_ASSERT_EQUAL_FATAL(ckpt_open(s), CAIRN_OK);
    ckpt_write_some(s, 300);
    ckpt_close(s);
}

const char *ckpt_path(const ckpt_store_t *s)
{
    return fixture_path(&s->f, CAIRN_CHECKPOINT_NAME);
}

cairn_checkpoint_header_t ckpt_header(const ckpt_store_t *s)
{
    cairn_checkpoint_header_t header;
    size_t count;
    uint8_t *bytes = read_file(ckpt_path(s), &count);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    CU_ASSERT_FATAL(count > sizeof(header));
    memcpy(&header, bytes, sizeof(header));
    free(bytes);
    return header;
}

void ckpt_flip_in_oldest(const ckpt_store_t *s)
{
    char name[32];
    size_t count, from_end = 0;
    while (fixture_segment_name(&s->f, from_end, name))
        ++from_end;
    CU_ASSERT_FATAL(from_end >= 3 && fixture_segment_name(&s->f, from_end - 1, name));
    const char *path = fixture_path(&s->f, name);
    uint8_t *bytes = read_file(path, &count);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    bytes[count / 2] ^= 1;
    chmod(path, 0640);
    write_file(path, bytes, count);
    free(bytes);
}
