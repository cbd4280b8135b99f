/*
 * The end of a log that no power cut explains: is it kept, said, and served without?
 */
#include <CUnit/CUnit.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/os.h"
#include "storage/segment.h"
#include "storage/verify.h"
#include "tests/fault_os.h"
#include "tests/site.h"
#include "tests/store_fixture.h"
#include "tests/suites.h"

#define FIRST "0000000000000001-0000.seg"
/** nothing in it is zero, and it is longer than a sector */
#define LAST "the last value, of which nobody can say whether it had been acknowledged, "

/* ---------------------------------------------------------------- a log whose end has rotted */

typedef struct st_rotten_t {
    fixture_t f;
    temp_dir_t copy; /* of the store as a crash would have left it, rotten */
    uint64_t at;     /* where its last record begins */
    uint64_t bytes;  /* of that record, without the zeroes that end it */
    uint8_t record[4096];
} rotten_t;

static uint8_t *find_last(uint8_t *bytes, size_t count, const void *what, size_t what_bytes)
{
    uint8_t *last = NULL, *at = bytes;
    while ((at = memmem(at, count - (size_t)(at - bytes), what, what_bytes)) != NULL)
        last = at++;
    return last;
}

/** takes the MARK of the idle writer away, and flips a bit `offset` bytes behind the last key */
static void rot_end(rotten_t *r, size_t offset)
{
    char path[400];
    size_t bytes;
    snprintf(path, sizeof(path), "%s/" FIRST, r->copy.path);
    uint8_t *content = read_file(path, &bytes);
    uint8_t *key = find_last(content, bytes, "last key", 8);
    CU_ASSERT_PTR_NOT_NULL_FATAL(key);
    cairn_record_t head;
    memcpy(&head, key - CAIRN_RECORD_HEAD_BYTES, sizeof(head));
    r->at = (uint64_t)(key - content) - CAIRN_RECORD_HEAD_BYTES;
    r->bytes = cairn_record_bytes(&head);
    memset(content + r->at + r->bytes, 0, bytes - r->at - r->bytes);
    while (content[r->at + r->bytes - 1] == 0)
        --r->bytes;
    key[offset] ^= 4;
    CU_ASSERT_FATAL(r->bytes <= sizeof(r->record));
    memcpy(r->record, content + r->at, r->bytes);
    chmod(path, 0600);
    write_file(path, content, bytes);
    free(content);
}

/** a store of which the last value has rotted before anything proved it */
static void make_rotten(rotten_t *r, size_t offset)
{
    char value[1024] = "";
    fixture_init(&r->f, TEMP_DIR_IN_MEMORY);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&r->f), CAIRN_OK);
    while (strlen(value) + sizeof(LAST) < sizeof(value))
        strcat(value, LAST);
    CU_ASSERT_EQUAL_FATAL(fixture_put(&r->f, "first key", "first").err, CAIRN_OK);
    CU_ASSERT_EQUAL_FATAL(fixture_put(&r->f, "last key", "older").err, CAIRN_OK);
    CU_ASSERT_EQUAL_FATAL(fixture_put(&r->f, "last key", value).err, CAIRN_OK);
    CU_ASSERT_TRUE_FATAL(temp_dir_create(&r->copy, TEMP_DIR_IN_MEMORY));
    fixture_wait_until_rolled(&r->f);
    copy_dir(r->f.dir.path, r->copy.path);
    CU_ASSERT_EQUAL(fixture_close(&r->f), CAIRN_OK);
    rot_end(r, offset);
    r->f.options.path = r->copy.path;
}

static void dispose(rotten_t *r)
{
    if (r->f.store != NULL)
        fixture_close(&r->f);
    CU_ASSERT(temp_dir_remove(&r->copy));
    fixture_dispose(&r->f);
}

static bool is_degraded(const fixture_t *f, const char *reason)
{
    char why[CAIRN_ERRMSG_BYTES];
    cairn_damage_t damage;
    cairn_store_damage(f->store, &damage);
    bool is = cairn_damage_text(&damage, why);
    if (is && reason != NULL)
        CU_ASSERT_STRING_EQUAL(why, reason);
    return is;
}

static void kept_path(const rotten_t *r, char path[400])
{
    snprintf(path, 400, "%s/quarantine/" FIRST "-%llu-3", r->copy.path, (unsigned long long)r->at);
}

/* ---------------------------------------------------------------- what is done with it */

static void a_suspect_end_is_kept_and_said(void)
{
    rotten_t r;
    size_t bytes;
    char path[400];
    make_rotten(&r, 400);
    unsigned errors = r.f.error_lines;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&r.f), CAIRN_OK);
    CU_ASSERT(r.f.error_lines > errors);
    CU_ASSERT(is_degraded(&r.f, "quarantine/ has 1 file to be looked at"));
    /* all of it, to the byte, under a name that says where it was and what it may have been */
    kept_path(&r, path);
    uint8_t *kept = read_file(path, &bytes);
    CU_ASSERT_EQUAL_FATAL(bytes, r.bytes);
    CU_ASSERT_EQUAL(memcmp(kept, r.record, bytes), 0);
    free(kept);
    /* the log goes on, and not behind it */
    CU_ASSERT(fixture_has(&r.f, "first key", "first"));
    CU_ASSERT(fixture_has(&r.f, "last key", "older"));
    CU_ASSERT_EQUAL(fixture_put(&r.f, "last key", "newer").err, CAIRN_OK);
    fixture_restart(&r.f);
    CU_ASSERT(fixture_has(&r.f, "last key", "newer"));
    dispose(&r);
}

static void it_stays_degraded_until_somebody_has_looked(void)
{
    rotten_t r;
    char path[400];
    make_rotten(&r, 400);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&r.f), CAIRN_OK);
    for (int i = 0; i < 3; ++i) {
        fixture_restart(&r.f);
        CU_ASSERT(is_degraded(&r.f, "quarantine/ has 1 file to be looked at"));
    }
    CU_ASSERT_EQUAL(fixture_close(&r.f), CAIRN_OK);
    kept_path(&r, path);
    CU_ASSERT_EQUAL(unlink(path), 0);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&r.f), CAIRN_OK);
    CU_ASSERT_FALSE(is_degraded(&r.f, NULL));
    dispose(&r);
}

/* the last bytes of the value become zero: a write that was cut short leaves that too */
static void what_a_cut_explains_gives_no_alarm(void)
{
    rotten_t r;
    char path[400];
    size_t bytes;
    make_rotten(&r, 400);
    snprintf(path, sizeof(path), "%s/" FIRST, r.copy.path);
    uint8_t *content = read_file(path, &bytes);
    memset(content + r.at + r.bytes - 100, 0, 100);
    write_file(path, content, bytes);
    free(content);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&r.f), CAIRN_OK);
    CU_ASSERT_FALSE(is_degraded(&r.f, NULL));
    CU_ASSERT(fixture_has(&r.f, "last key", "older"));
    dispose(&r);
}

/* ---------------------------------------------------------------- cut once more, while it is
 * sealed */

#define SECTOR ((size_t)512)

/* what the disk may have of a segment whose sealing is cut short: at each sync, what was on disk
 * before, with any of the sectors that have been written since */
static struct {
    uint8_t *durable;
    size_t bytes, from;
    uint8_t *images[64];
    size_t count;
} cuts;

static bool is_first_segment(int fd)
{
    char link[32], path[400];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = '\0';
    return strstr(path, "/" FIRST) != NULL;
}

/** the sectors that a footer at the end of the log may lie in, as `written` has them or not */
static void add_cuts(const uint8_t *written)
{
    for (unsigned some = 0; some < 4; ++some) {
        uint8_t *image = memcpy(malloc(cuts.bytes), cuts.durable, cuts.bytes);
        for (unsigned i = 0; i < 2; ++i)
            if ((some & 1u << i) != 0)
                memcpy(image + cuts.from + i * SECTOR, written + cuts.from + i * SECTOR, SECTOR);
        CU_ASSERT_FATAL(cuts.count < sizeof(cuts.images) / sizeof(cuts.images[0]));
        cuts.images[cuts.count++] = image;
    }
}

static int sync_that_may_be_cut(int fd)
{
    if (is_first_segment(fd) && cairn_os_real.size(fd) == (int64_t)cuts.bytes) {
        uint8_t *written = malloc(cuts.bytes);
        CU_ASSERT_EQUAL(pread(fd, written, cuts.bytes, 0), (ssize_t)cuts.bytes);
        add_cuts(written);
        free(cuts.durable);
        cuts.durable = written;
    }
    return cairn_os_real.sync(fd);
}

/** a last record of `value_bytes`, not proven, of which nothing is there from its second sector on;
 * false if it lies in one */
static bool make_torn(rotten_t *r, size_t filler, size_t value_bytes)
{
    char path[400], value[SECTOR + 1];
    fixture_init(&r->f, TEMP_DIR_IN_MEMORY);
    fixture_must_open(&r->f);
    memset(value, 'x', sizeof(value));
    value[filler] = '\0';
    fixture_put(&r->f, "filler", value);
    fixture_put(&r->f, "last key", "older");
    value[filler] = 'x';
    value[value_bytes] = '\0';
    fixture_put(&r->f, "last key", value);
    CU_ASSERT_TRUE_FATAL(temp_dir_create(&r->copy, TEMP_DIR_IN_MEMORY));
    fixture_wait_until_rolled(&r->f);
    copy_dir(r->f.dir.path, r->copy.path);
    CU_ASSERT_EQUAL(fixture_close(&r->f), CAIRN_OK);
    rot_end(r, 0);
    r->f.options.path = r->copy.path;
    snprintf(path, sizeof(path), "%s/" FIRST, r->copy.path);
    uint8_t *content = read_file(path, &cuts.bytes);
    cuts.from = r->at / SECTOR * SECTOR;
    memset(content + cuts.from + SECTOR, 0, SECTOR);
    write_file(path, content, cuts.bytes);
    cuts.durable = content;
    cuts.count = 0;
    return r->at + r->bytes > cuts.from + SECTOR;
}

static void seal_and_cut(rotten_t *r)
{
    static cairn_os_t os;
    temp_dir_t torn;
    char path[400];
    CU_ASSERT_TRUE_FATAL(temp_dir_create(&torn, TEMP_DIR_IN_MEMORY));
    copy_dir(r->copy.path, torn.path);
    os = cairn_os_real;
    os.sync = sync_that_may_be_cut;
    cairn_os = &os;
    fixture_must_open(&r->f);
    CU_ASSERT_FALSE(is_degraded(&r->f, NULL));
    CU_ASSERT_EQUAL(fixture_close(&r->f), CAIRN_OK);
    cairn_os = &cairn_os_real;
    CU_ASSERT(cuts.count != 0);
    r->f.options.path = torn.path;
    snprintf(path, sizeof(path), "%s/" FIRST, torn.path);
    for (size_t i = 0; i < cuts.count; ++i) {
        unlink(path);
        write_file(path, cuts.images[i], cuts.bytes);
        fixture_must_open(&r->f);
        CU_ASSERT_FALSE(is_degraded(&r->f, NULL));
        CU_ASSERT(fixture_has(&r->f, "last key", "older"));
        CU_ASSERT_EQUAL(fixture_close(&r->f), CAIRN_OK);
    }
    CU_ASSERT(temp_dir_remove(&torn));
}

/* a part of a footer over what was torn must not look like all of a write */
static void a_cut_while_a_torn_end_is_sealed_gives_no_alarm(void)
{
    size_t straddling = 0;
    for (size_t filler = 8; filler < 512; filler += 40)
        for (size_t value = 40; value < 200; value += 56) {
            rotten_t r;
            bool straddles = make_torn(&r, filler, value);
            straddling += straddles;
            if (straddles)
                seal_and_cut(&r);
            for (size_t i = 0; i < cuts.count; ++i)
                free(cuts.images[i]);
            free(cuts.durable);
            dispose(&r);
        }
    CU_ASSERT(straddling >= 5);
}

static void a_proven_end_that_rots_refuses_to_open(void)
{
    rotten_t r;
    size_t bytes;
    char path[400], expected[64];
    make_rotten(&r, 400);
    CU_ASSERT(temp_dir_remove(&r.copy));
    CU_ASSERT_TRUE_FATAL(temp_dir_create(&r.copy, TEMP_DIR_IN_MEMORY));
    copy_dir(r.f.dir.path, r.copy.path); /* closed: the last MARK is there */
    snprintf(path, sizeof(path), "%s/" FIRST, r.copy.path);
    uint8_t *content = read_file(path, &bytes);
    content[r.at + 400] ^= 4;
    write_file(path, content, bytes);
    CU_ASSERT_EQUAL(fixture_open(&r.f), CAIRN_ERR_CORRUPT);
    /* where, what is in danger, and what to do */
    snprintf(expected, sizeof(expected), FIRST ": damaged at byte %llu: versions 3 to 3",
             (unsigned long long)r.at);
    CU_ASSERT_PTR_NOT_NULL(strstr(r.f.errmsg, expected));
    CU_ASSERT_PTR_NOT_NULL(strstr(r.f.errmsg, "'cairn verify DIR'"));
    CU_ASSERT_PTR_NOT_NULL(strstr(r.f.errmsg, "'cairn serve --salvage'"));
    free(content);
    dispose(&r);
}

/* ---------------------------------------------------------------- when that fails too */

/** changes on disk that a start makes */
static uint64_t count_changes(void)
{
    rotten_t r;
    make_rotten(&r, 400);
    fault_os_install();
    CU_ASSERT_EQUAL_FATAL(fixture_open(&r.f), CAIRN_OK);
    uint64_t changes = fault_os_changes();
    CU_ASSERT_EQUAL(fixture_close(&r.f), CAIRN_OK);
    fault_os_remove();
    dispose(&r);
    return changes;
}

static void it_is_kept_before_anything_is_changed(void)
{
    uint64_t changes = count_changes();
    CU_ASSERT_FATAL(changes > 8 && changes < 100);
    for (uint64_t i = 0; i < 2 * changes; ++i) {
        rotten_t r;
        size_t bytes;
        char path[400];
        make_rotten(&r, 400);
        fault_os_install();
        fault_os_freeze_after(i / 2, i % 2 != 0);
        if (fixture_open(&r.f) == CAIRN_OK)
            fixture_close(&r.f);
        r.f.store = NULL;
        fault_os_remove();
        /* as if the process had died there: the next start has all of it */
        CU_ASSERT_EQUAL_FATAL(fixture_open(&r.f), CAIRN_OK);
        CU_ASSERT(is_degraded(&r.f, "quarantine/ has 1 file to be looked at"));
        kept_path(&r, path);
        uint8_t *kept = read_file(path, &bytes);
        CU_ASSERT(bytes == r.bytes && memcmp(kept, r.record, bytes) == 0);
        free(kept);
        CU_ASSERT(fixture_has(&r.f, "last key", "older"));
        dispose(&r);
    }
}

static void verify_says_what_a_start_will_do(void)
{
    rotten_t r;
    char errmsg[CAIRN_ERRMSG_BYTES];
    cairn_verify_result_t result;
    make_rotten(&r, 400);
    cairn_verify_options_t options = {.path = r.copy.path};
    CU_ASSERT_EQUAL(cairn_store_verify(&options, &result, errmsg), CAIRN_OK);
    CU_ASSERT_EQUAL(result.bad_files, 0);
    CU_ASSERT_EQUAL(result.suspect_files, 1);
    CU_ASSERT_EQUAL(result.damage.quarantined, 0);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&r.f), CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_close(&r.f), CAIRN_OK);
    CU_ASSERT_EQUAL(cairn_store_verify(&options, &result, errmsg), CAIRN_OK);
    CU_ASSERT_EQUAL(result.suspect_files, 0);
    CU_ASSERT_EQUAL(result.damage.quarantined, 1);
    dispose(&r);
}

/* ---------------------------------------------------------------- what a client is told */

static void a_server_says_that_it_is_degraded(void)
{
    static const char reason[] = "quarantine/ has 1 file to be looked at";
    rotten_t r;
    site_t site;
    http_conn_t conn;
    http_response_t res;
    make_rotten(&r, 400);
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_IN_MEMORY, NULL), 0);
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    snprintf(site.data, sizeof(site.data), "%s", r.copy.path);
    site_start_again(&site, NULL);
    site_open(&site, &conn);
    exchange(&conn, "GET", "/readyz", NULL, NULL, 0, &res);
    CU_ASSERT_EQUAL(res.status, 204);
    CU_ASSERT(header_is(&res, "cairn-state", "degraded"));
    CU_ASSERT(header_is(&res, "cairn-state-reason", reason));
    http_response_dispose(&res);
    exchange(&conn, "GET", "/v1/stats", NULL, NULL, 0, &res);
    CU_ASSERT_PTR_NOT_NULL(strstr(res.body, "\"state\": \"degraded\""));
    CU_ASSERT_PTR_NOT_NULL(strstr(res.body, reason));
    http_response_dispose(&res);
    exchange(&conn, "GET", "/metrics", NULL, NULL, 0, &res);
    CU_ASSERT_PTR_NOT_NULL(strstr(res.body, "\ncairn_degraded 1\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(res.body, "\ncairn_quarantined_files 1\n"));
    http_response_dispose(&res);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/first%20key", "first"));
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&site), 0);
    dispose(&r);
}

void suite_suspect(void)
{
    CU_pSuite s = CU_add_suite("suspect: an end that no power cut explains", NULL, NULL);
    CU_add_test(s, "it is kept, and said", a_suspect_end_is_kept_and_said);
    CU_add_test(s, "the store stays degraded until somebody has looked",
                it_stays_degraded_until_somebody_has_looked);
    CU_add_test(s, "what a cut explains gives no alarm", what_a_cut_explains_gives_no_alarm);
    CU_add_test(s, "a cut while a torn end is sealed gives no alarm",
                a_cut_while_a_torn_end_is_sealed_gives_no_alarm);
    CU_add_test(s, "an end that was proven and rots refuses to open",
                a_proven_end_that_rots_refuses_to_open);
    CU_add_test(s, "it is kept before anything is changed, whatever call fails",
                it_is_kept_before_anything_is_changed);
    CU_add_test(s, "verify says what a start will do", verify_says_what_a_start_will_do);
    CU_add_test(s, "a server says that it is degraded", a_server_says_that_it_is_degraded);
}
