/*
 * storage/verify_aids.c - the files that only make a start faster: key tables and the checkpoint.
 *
 * Damage to one costs the next start time and nothing else: it is told, and said to be so.
 */
#include <stdio.h>
#include <string.h>

#include "index/qsbr.h"
#include "storage/checkpoint.h"
#include "storage/keytable.h"
#include "storage/os.h"
#include "storage/verify_internal.h"

/* ---------------------------------------------------------------- key tables */

static bool goes_on(void *ctx)
{
    return cairn_verify_tell_progress(ctx, 0);
}

static uint64_t table_bytes(const cairn_verify_t *v, const cairn_verify_name_t *name)
{
    char table[CAIRN_KEYTABLE_NAME_BYTES];
    if (name->first_version == UINT64_MAX)
        return 0;
    cairn_keytable_name(table, name->first_version, name->generation);
    return cairn_segment_file_bytes(&v->dir, table);
}

uint64_t cairn_verify_keytable_bytes(const cairn_verify_t *v)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < v->count; ++i)
        bytes += table_bytes(v, &v->names[i]);
    return bytes;
}

/** what is wrong with a table that has been opened, where `*err` is not OK */
static const char *table_fault(cairn_verify_t *v, const cairn_keytable_t *table,
                               cairn_segment_t *segment, bool is_broken, cairn_err_t *err)
{
    *err = cairn_keytable_verify(table);
    if (*err == CAIRN_OK && !is_broken)
        *err = cairn_keytable_check(table, segment, goes_on, v);
    if (*err == CAIRN_ERR_DAMAGED)
        return "a block's checksum does not match, or its keys are not in order";
    if (*err == CAIRN_ERR_CORRUPT)
        return "its entries are not those of its segment's records";
    return *err == CAIRN_ERR_IO ? "the disk cannot read it" : cairn_strerror(*err);
}

cairn_err_t cairn_verify_keytable(cairn_verify_t *v, cairn_segment_t *segment,
                                  const cairn_segment_footer_t *footer, bool is_broken)
{
    char name[CAIRN_KEYTABLE_NAME_BYTES], why[CAIRN_ERRMSG_BYTES];
    cairn_keytable_t *table = NULL;
    cairn_verify_file_t file = {
        .name = name, .kind = CAIRN_VERIFY_KEYTABLE, .verdict = "clean", .is_aid = true};
    segment->first_version = footer->first_version;
    segment->counts = footer->counts; /* what a table is known by */
    atomic_store_explicit(&segment->end, footer->end, memory_order_relaxed);
    atomic_store_explicit(&segment->written, footer->end, memory_order_relaxed);
    cairn_keytable_name(name, segment->first_version, segment->generation);
    file.bytes = cairn_segment_file_bytes(&v->dir, name);
    cairn_err_t err = cairn_keytable_open(&table, segment, &v->dir, why);
    if (err == CAIRN_ERR_NOT_FOUND)
        return CAIRN_OK;
    const char *fault = why;
    if (err == CAIRN_OK) {
        file.keys = cairn_keytable_entry_count(table);
        rcu_register_thread(); /* what walks a segment counts on it */
        fault = table_fault(v, table, segment, is_broken, &err);
        rcu_unregister_thread();
        cairn_keytable_close(table);
    } else if (strchr(why, ' ') != NULL) {
        fault = strchr(why, ' ') + 1; /* behind the name */
    }
    if (err == CAIRN_ERR_NOMEM)
        snprintf(v->errmsg, CAIRN_ERRMSG_BYTES, "%s: there is not enough memory to check it", name);
    if (err == CAIRN_ERR_NOMEM || err == CAIRN_ERR_CANCELLED)
        return err;
    if (err != CAIRN_OK) {
        file.verdict = "corrupt";
        file.problem = fault[0] != '\0' ? fault : "it cannot be opened";
    }
    cairn_verify_count_file(v, &file);
    return cairn_verify_tell_progress(v, file.bytes) ? CAIRN_OK : CAIRN_ERR_CANCELLED;
}

/** a table without a segment: the next start removes it */
static bool on_table(void *ctx, const char *entry)
{
    cairn_verify_t *v = ctx;
    uint64_t first;
    uint32_t generation;
    size_t count = strlen(entry), suffix = sizeof(CAIRN_KEYTABLE_TMP_SUFFIX) - 1;
    if (!cairn_keytable_name_parse(entry, &first, &generation) ||
        strcmp(entry + count - suffix, CAIRN_KEYTABLE_TMP_SUFFIX) == 0)
        return true;
    for (size_t i = 0; i < v->count; ++i)
        if (v->names[i].first_version == first && v->names[i].generation == generation)
            return true;
    cairn_verify_file_t file = {.name = entry,
                                .kind = CAIRN_VERIFY_KEYTABLE,
                                .verdict = "unused",
                                .bytes = cairn_segment_file_bytes(&v->dir, entry),
                                .is_aid = true};
    cairn_verify_count_file(v, &file);
    return true;
}

/* ---------------------------------------------------------------- the checkpoint */

static void verify_checkpoint(cairn_verify_t *v)
{
    cairn_checkpoint_image_t image = {.fd = -1};
    cairn_index_t *index = NULL;
    char why[CAIRN_ERRMSG_BYTES];
    cairn_verify_file_t file = {.name = CAIRN_CHECKPOINT_NAME,
                                .kind = CAIRN_VERIFY_CHECKPOINT,
                                .verdict = "clean",
                                .is_aid = true};
    cairn_err_t err = cairn_checkpoint_open(&image, &v->dir, why);
    if (err == CAIRN_ERR_NOT_FOUND)
        return;
    if (err == CAIRN_OK) {
        file.last_version = image.header.covers_version;
        err = cairn_checkpoint_load(&image, cairn_verify_tell_progress, v, &index, why);
    }
    if (index != NULL)
        cairn_index_destroy(index);
    cairn_checkpoint_close(&image);
    if (v->is_cancelled)
        return;
    file.bytes = cairn_segment_file_bytes(&v->dir, CAIRN_CHECKPOINT_NAME);
    if (err != CAIRN_OK) {
        file.verdict = "corrupt";
        file.problem = why;
    }
    cairn_verify_count_file(v, &file);
}

cairn_err_t cairn_verify_aids(cairn_verify_t *v)
{
    int err = cairn_os->list(v->dir.fd, on_table, v);
    if (err < 0)
        return CAIRN_ERR_IO;
    verify_checkpoint(v);
    return v->is_cancelled ? CAIRN_ERR_CANCELLED : CAIRN_OK;
}
