/*
 * What does a scan make of a log that is whole, cut short, overwritten or rotten?
 */
#include "storage/scan.h"

#include <CUnit/CUnit.h>

#include <stdio.h>
#include <string.h>

#include "tests/suites.h"

#define SALT UINT64_C(0xfeedfacecafebeef)
#define BYTES 32768

/** a segment in memory under construction */
typedef struct st_log_t {
    _Alignas(8) uint8_t bytes[BYTES];
    uint64_t end;
    uint64_t version;
    cairn_chain_t chain;
    uint64_t mark_at; /* of the commit under construction; its MARK is written last */
    uint64_t durable;
    unsigned commit_records;
    uint64_t commit_starts[32];
    unsigned commits;
} log_t;

static void log_begin(log_t *log, uint64_t version, bool with_link)
{
    memset(log, 0, sizeof(*log));
    log->end = CAIRN_SEGMENT_HEADER_BYTES;
    log->version = version;
    log->chain = (cairn_chain_t){version, ~version};
    if (!with_link)
        return;
    cairn_link_t link = {.previous_end = 1, .chain = log->chain};
    log->end += cairn_record_write_link((cairn_record_t *)(log->bytes + log->end), &link, version,
                                        1, SALT, log->end);
}

static void commit_begin(log_t *log, uint64_t durable)
{
    log->commit_starts[log->commits++] = log->mark_at = log->end;
    log->durable = durable;
    log->commit_records = 0;
    log->end += CAIRN_MARK_SPAN;
}

static uint64_t add(log_t *log, const char *key, size_t value_bytes, uint8_t flags)
{
    uint64_t offset = log->end;
    cairn_record_t *r = (cairn_record_t *)(log->bytes + offset);
    size_t key_bytes = strlen(key);
    uint8_t *body = (uint8_t *)(r + 1);
    *r = (cairn_record_t){.version = ++log->version,
                          .value_bytes = (uint32_t)value_bytes,
                          .key_bytes = (uint16_t)key_bytes,
                          .written = (uint64_t)CAIRN_RECORD_PUT << 48 | (uint64_t)flags << 56};
    memcpy(body, key, key_bytes);
    memset(body + key_bytes, 'v', value_bytes);
    const cairn_bytes_t whole = {body, key_bytes + value_bytes};
    r->body_sum = cairn_record_body_sum(&whole, 1);
    r->head_sum = cairn_record_head_sum(r, SALT, offset);
    log->chain = cairn_chain_next(&log->chain, r);
    log->end += cairn_record_bytes(r);
    ++log->commit_records;
    return offset;
}

static void commit_end(log_t *log)
{
    cairn_mark_t mark = {.durable_version = log->durable,
                         .chain = log->chain,
                         .commit_records = log->commit_records,
                         .commit_bytes = (uint32_t)(log->end - log->mark_at - CAIRN_MARK_SPAN)};
    cairn_record_write_mark((cairn_record_t *)(log->bytes + log->mark_at), &mark,
                            log->version - log->commit_records, 1, SALT, log->mark_at);
}

/** three commits of three records each, every one durable when the next began; versions from 11 on
 */
static void make_log(log_t *log)
{
    log_begin(log, 10, true);
    for (int commit = 0; commit < 3; ++commit) {
        commit_begin(log, log->version);
        add(log, "a", 10, 0);
        add(log, "b", 0, 0);
        add(log, "c", 100, 0);
        commit_end(log);
    }
}

typedef struct st_verdict_t {
    uint64_t last_version;
    uint64_t at;
    uint64_t proven;
    unsigned units;
    cairn_scan_end_t end;
    cairn_chain_t chain;
} verdict_t;

static verdict_t scan_all(const log_t *log, uint64_t bytes)
{
    cairn_scan_t scan;
    cairn_scan_unit_t unit;
    verdict_t v = {0};
    uint64_t expected = CAIRN_SEGMENT_HEADER_BYTES;
    cairn_scan_init(&scan, log->bytes, bytes, SALT, 10);
    while (cairn_scan_next(&scan, &unit)) {
        CU_ASSERT_EQUAL(unit.offset, expected);
        CU_ASSERT(unit.end > unit.offset && unit.end <= bytes);
        expected = unit.end;
        ++v.units;
    }
    v.end = cairn_scan_end(&scan, &v.proven);
    v.last_version = scan.last_version;
    v.at = scan.at;
    v.chain = scan.chain;
    return v;
}

static void a_whole_log_is_clean(void)
{
    log_t log;
    make_log(&log);
    verdict_t v = scan_all(&log, BYTES);
    CU_ASSERT_EQUAL(v.end, CAIRN_SCAN_CLEAN);
    CU_ASSERT_EQUAL(v.last_version, 19);
    CU_ASSERT_EQUAL(v.at, log.end);
    CU_ASSERT_EQUAL(v.units, 1 + 3 + 9);
    CU_ASSERT_EQUAL(v.proven, 16);
    CU_ASSERT(memcmp(&v.chain, &log.chain, sizeof(v.chain)) == 0);
    /* also where the file ends with the records */
    CU_ASSERT_EQUAL(scan_all(&log, log.end).end, CAIRN_SCAN_CLEAN);
}

static void nothing_written_is_clean(void)
{
    log_t log;
    log_begin(&log, 10, false);
    verdict_t v = scan_all(&log, BYTES);
    CU_ASSERT_EQUAL(v.end, CAIRN_SCAN_CLEAN);
    CU_ASSERT_EQUAL(v.units, 0);
    CU_ASSERT_EQUAL(v.last_version, 10);
    CU_ASSERT_EQUAL(scan_all(&log, CAIRN_SEGMENT_HEADER_BYTES).end, CAIRN_SCAN_CLEAN);
    log_begin(&log, 10, true);
    CU_ASSERT_EQUAL(scan_all(&log, BYTES).end, CAIRN_SCAN_CLEAN);
    CU_ASSERT_EQUAL(scan_all(&log, BYTES).units, 1);
}

/** the file ends in the middle of the last commit, or zeroes stand there: what was never answered
 */
static void the_last_commit_is_cut_at_every_byte(void)
{
    log_t log;
    make_log(&log);
    uint64_t begin = log.commit_starts[2];
    for (uint64_t cut = log.end - 1; cut > begin; --cut) {
        log_t cut_log = log;
        verdict_t short_file = scan_all(&cut_log, cut);
        memset(cut_log.bytes + cut, 0, BYTES - cut);
        bool same = memcmp(cut_log.bytes, log.bytes, BYTES) == 0;
        verdict_t zeroed = scan_all(&cut_log, BYTES);
        if (same) /* only padding and zeroes at the end of a value were cut */
            continue;
        CU_ASSERT_EQUAL(short_file.end, CAIRN_SCAN_TORN);
        CU_ASSERT_EQUAL(zeroed.end, CAIRN_SCAN_TORN);
        /* zeroes are as good as the padding they stand for, an end of file is not */
        CU_ASSERT(short_file.last_version <= zeroed.last_version);
        CU_ASSERT(zeroed.last_version >= 16 && zeroed.last_version < 19);
        CU_ASSERT(short_file.at <= cut && zeroed.at < cut + CAIRN_RECORD_ALIGN);
    }
    memset(log.bytes + begin, 0, BYTES - begin);
    CU_ASSERT_EQUAL(scan_all(&log, BYTES).end, CAIRN_SCAN_CLEAN);
    CU_ASSERT_EQUAL(scan_all(&log, BYTES).last_version, 16);
}

/** sectors reach the disk in any order: any of those of the last commit may be missing */
static void sectors_of_the_last_commit_are_lost(void)
{
    log_t log;
    log_begin(&log, 10, true);
    commit_begin(&log, 10);
    add(&log, "durable", 300, 0);
    commit_end(&log);
    commit_begin(&log, 11);
    for (int i = 0; i < 7; ++i)
        add(&log, "torn", 400, 0);
    commit_end(&log);
    uint64_t begin = log.commit_starts[1], first = begin / 512, last = (log.end - 1) / 512;
    unsigned count = (unsigned)(last - first + 1);
    CU_ASSERT_FATAL(count < 12);
    for (unsigned lost = 1; lost < 1u << count; ++lost) {
        log_t torn = log;
        for (unsigned s = 0; s < count; ++s) {
            uint64_t from = (first + s) * 512;
            if ((lost >> s & 1) == 0)
                continue;
            /* what stood there before this commit stays */
            uint64_t kept = from < begin ? begin : from;
            memset(torn.bytes + kept, 0, from + 512 - kept);
        }
        verdict_t v = scan_all(&torn, BYTES);
        CU_ASSERT(v.last_version >= 11 && v.last_version < 18);
        CU_ASSERT(v.end == CAIRN_SCAN_TORN ||
                  (v.end == CAIRN_SCAN_CLEAN && v.at == begin && v.last_version == 11));
    }
}

/** rot in a commit that a later MARK knows to have been durable */
static void rot_before_a_proof_is_corruption(void)
{
    log_t log;
    make_log(&log);
    for (uint64_t at = CAIRN_SEGMENT_HEADER_BYTES; at < log.commit_starts[1]; ++at) {
        log.bytes[at] ^= 0x20;
        verdict_t v = scan_all(&log, BYTES);
        CU_ASSERT_EQUAL(v.end, CAIRN_SCAN_CORRUPT);
        CU_ASSERT_EQUAL(v.proven, 16);
        CU_ASSERT(v.last_version < 16);
        CU_ASSERT(v.at <= at);
        log.bytes[at] ^= 0x20;
    }
}

static void rot_in_the_last_commit_is_suspect_unless_a_cut_explains_it(void)
{
    log_t log;
    make_log(&log);
    uint64_t records = log.commit_starts[2] + CAIRN_MARK_SPAN;
    unsigned suspect = 0;
    for (uint64_t at = log.commit_starts[2]; at < log.end; ++at) {
        log.bytes[at] ^= 0x20;
        verdict_t v = scan_all(&log, BYTES);
        CU_ASSERT(v.end == CAIRN_SCAN_TORN || v.end == CAIRN_SCAN_SUSPECT);
        suspect += v.end == CAIRN_SCAN_SUSPECT;
        log.bytes[at] ^= 0x20;
    }
    /* all but those in the head of the last record, whose padding then cannot be told from what is
     * missing, and its last byte */
    CU_ASSERT(suspect >= log.end - records - 64);
    /* which is what the idle MARK is for */
    commit_begin(&log, log.version);
    commit_end(&log);
    for (uint64_t at = log.commit_starts[2]; at < log.commit_starts[3]; ++at) {
        log.bytes[at] ^= 0x20;
        CU_ASSERT_EQUAL(scan_all(&log, BYTES).end, CAIRN_SCAN_CORRUPT);
        log.bytes[at] ^= 0x20;
    }
}

static void a_damaged_later_mark_proves_nothing(void)
{
    log_t log;
    make_log(&log);
    log.bytes[log.commit_starts[1] + 60] ^= 1; /* a record head of the second commit goes with it */
    log.bytes[log.commit_starts[2] + 50] ^= 1; /* and the MARK that would have proved it */
    verdict_t v = scan_all(&log, BYTES);
    CU_ASSERT_EQUAL(v.end, CAIRN_SCAN_TORN);
    CU_ASSERT_EQUAL(v.last_version, 13);
}

static void unsynced_commits_torn_out_of_order(void)
{
    log_t log;
    log_begin(&log, 10, true);
    commit_begin(&log, 10);
    add(&log, "durable", 10, 0);
    commit_end(&log);
    for (int i = 0; i < 3; ++i) { /* async: none of them is known to be durable to the next */
        commit_begin(&log, 11);
        add(&log, "async", 10, 0);
        commit_end(&log);
    }
    log.bytes[log.commit_starts[2] + 5] ^= 1;
    verdict_t v = scan_all(&log, BYTES);
    CU_ASSERT_EQUAL(v.end, CAIRN_SCAN_TORN);
    CU_ASSERT_EQUAL(v.last_version, 12);
    CU_ASSERT_EQUAL(v.proven, 11);
}

static void batches_are_all_or_nothing(void)
{
    log_t log;
    uint64_t offsets[4];
    log_begin(&log, 10, true);
    commit_begin(&log, 10);
    add(&log, "single", 10, 0);
    for (int i = 0; i < 4; ++i)
        offsets[i] = add(&log, "batch", 100, i < 3 ? CAIRN_RECORD_MORE : 0);
    commit_end(&log);
    verdict_t v = scan_all(&log, BYTES);
    CU_ASSERT_EQUAL(v.end, CAIRN_SCAN_CLEAN);
    CU_ASSERT_EQUAL(v.units, 1 + 1 + 1 + 1);
    CU_ASSERT_EQUAL(v.last_version, 15);
    for (uint64_t cut = log.end - 1; cut > offsets[0]; --cut) {
        if (log.bytes[cut] == 0)
            continue;
        log_t torn = log;
        memset(torn.bytes + cut, 0, BYTES - cut);
        v = scan_all(&torn, BYTES);
        CU_ASSERT_EQUAL(v.end, CAIRN_SCAN_TORN);
        CU_ASSERT_EQUAL(v.last_version, 11);
        CU_ASSERT_EQUAL(v.at, offsets[0]);
    }
    for (int i = 0; i < 4; ++i) {
        log.bytes[offsets[i] + 70] ^= 4;
        v = scan_all(&log, BYTES);
        CU_ASSERT_EQUAL(v.last_version, 11);
        CU_ASSERT_EQUAL(v.at, offsets[0]);
        log.bytes[offsets[i] + 70] ^= 4;
    }
}

static void a_batch_that_never_ends_is_none(void)
{
    log_t log;
    log_begin(&log, 10, true);
    commit_begin(&log, 10);
    add(&log, "first", 10, CAIRN_RECORD_MORE);
    add(&log, "second", 10, CAIRN_RECORD_MORE);
    commit_end(&log);
    commit_begin(&log, 10); /* a MARK does not belong into a batch */
    commit_end(&log);
    verdict_t v = scan_all(&log, BYTES);
    CU_ASSERT_EQUAL(v.last_version, 10);
    CU_ASSERT_EQUAL(v.end, CAIRN_SCAN_SUSPECT); /* nobody writes such a thing */
}

static void a_footer_that_was_cut_short_is_torn(void)
{
    log_t log;
    make_log(&log);
    memset(log.bytes + log.end, 'f', 600);
    CU_ASSERT_EQUAL(scan_all(&log, BYTES).end, CAIRN_SCAN_SUSPECT);
    memcpy(log.bytes + log.end, "CAIRNEND", 8);
    CU_ASSERT_EQUAL(scan_all(&log, BYTES).end, CAIRN_SCAN_TORN);
}

static void a_commit_that_breaks_its_promise_is_corruption(void)
{
    log_t log;
    make_log(&log);
    /* a record of the first commit is replaced by another valid one of the same size */
    log_t other;
    log_begin(&other, 10, true);
    commit_begin(&other, 10);
    add(&other, "x", 10, 0);
    uint64_t from = other.commit_starts[0] + CAIRN_MARK_SPAN;
    memcpy(log.bytes + from, other.bytes + from, other.end - from);
    verdict_t v = scan_all(&log, BYTES);
    CU_ASSERT_EQUAL(v.end, CAIRN_SCAN_CORRUPT);
    CU_ASSERT_EQUAL(v.at, log.commit_starts[1]);
}

static void versions_must_follow_each_other(void)
{
    for (int wrong = -1; wrong <= 1; wrong += 2) {
        log_t log;
        log_begin(&log, 10, true);
        commit_begin(&log, 10);
        add(&log, "a", 10, 0);
        log.version = (uint64_t)((int64_t)log.version + wrong);
        uint64_t offset = add(&log, "b", 10, 0);
        log.version = 12;
        commit_end(&log);
        CU_ASSERT_EQUAL(scan_all(&log, BYTES).at, offset);
        CU_ASSERT_EQUAL(scan_all(&log, BYTES).last_version, 11);
    }
}

static void records_need_a_link_before_them(void)
{
    log_t log;
    log_begin(&log, 10, false);
    commit_begin(&log, 10);
    add(&log, "a", 10, 0);
    commit_end(&log);
    verdict_t v = scan_all(&log, BYTES);
    CU_ASSERT_EQUAL(v.at, CAIRN_SEGMENT_HEADER_BYTES);
    CU_ASSERT_EQUAL(v.end, CAIRN_SCAN_TORN);
    /* a second LINK is none */
    make_log(&log);
    cairn_link_t link = {.chain = log.chain};
    cairn_record_write_link((cairn_record_t *)(log.bytes + log.end), &link, log.version, 1, SALT,
                            log.end);
    CU_ASSERT_EQUAL(scan_all(&log, BYTES).at, log.end);
}

void suite_scan(void)
{
    CU_pSuite s = CU_add_suite("scan", NULL, NULL);
    CU_add_test(s, "a whole log is clean", a_whole_log_is_clean);
    CU_add_test(s, "a log with nothing in it is clean", nothing_written_is_clean);
    CU_add_test(s, "the last commit cut at any byte is torn", the_last_commit_is_cut_at_every_byte);
    CU_add_test(s, "the last commit without any of its sectors is torn",
                sectors_of_the_last_commit_are_lost);
    CU_add_test(s, "rot before a later proof is corruption", rot_before_a_proof_is_corruption);
    CU_add_test(s, "rot in the last commit is suspect, unless a cut explains it",
                rot_in_the_last_commit_is_suspect_unless_a_cut_explains_it);
    CU_add_test(s, "a footer that was cut short is torn", a_footer_that_was_cut_short_is_torn);
    CU_add_test(s, "a damaged MARK proves nothing", a_damaged_later_mark_proves_nothing);
    CU_add_test(s, "unsynced commits torn out of order are no corruption",
                unsynced_commits_torn_out_of_order);
    CU_add_test(s, "a batch is there as a whole or not at all", batches_are_all_or_nothing);
    CU_add_test(s, "a batch that never ends is none", a_batch_that_never_ends_is_none);
    CU_add_test(s, "a commit that is not the promised one is corruption",
                a_commit_that_breaks_its_promise_is_corruption);
    CU_add_test(s, "versions follow each other", versions_must_follow_each_other);
    CU_add_test(s, "records need a LINK, and only one", records_need_a_link_before_them);
}
