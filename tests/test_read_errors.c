/*
 * When the disk cannot read: is the key that needs it told so, and everything else served?
 *
 * A page that cannot be read is staged in two ways: the file is cut short under the map, which any
 * machine can do, and the image under a mounted file system is, where root and loop devices are
 * there. Both come to the process as SIGBUS.
 */
#include <CUnit/CUnit.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/guard.h"
#include "tests/loop_disk.h"
#include "tests/site.h"
#include "tests/store_fixture.h"
#include "tests/suites.h"
#include "tests/tls_client.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define PAGE 4096

/* sealing gives a file its last size: what is cut before that would grow again */
static void cut_sealed(const char *path, uint64_t bytes)
{
    struct stat st = {.st_mode = S_IWUSR};
    for (int tries = 0; tries < 500 && (st.st_mode & S_IWUSR) != 0; ++tries) {
        CU_ASSERT_EQUAL_FATAL(stat(path, &st), 0);
        sleep_ms(10);
    }
    CU_ASSERT_EQUAL_FATAL(st.st_mode & S_IWUSR, 0);
    chmod(path, 0600);
    CU_ASSERT_EQUAL_FATAL(truncate(path, (off_t)bytes), 0);
}

/* ---------------------------------------------------------------- the guard itself */

/* two pages of a file of one */
static uint8_t *map_too_much(void)
{
    int fd = memfd_create("cairn-test", MFD_CLOEXEC);
    CU_ASSERT_TRUE_FATAL(fd >= 0 && ftruncate(fd, PAGE) == 0);
    uint8_t *map = mmap(NULL, (size_t)2 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    CU_ASSERT_TRUE_FATAL(map != MAP_FAILED);
    return map;
}

typedef struct st_nested_t {
    const uint8_t *map;
    bool inner, went_on;
} nested_t;

static void touch_nested(void *ctx)
{
    nested_t *nested = ctx;
    uint8_t byte;
    nested->inner = cairn_guard_copy(&byte, nested->map + PAGE, 1);
    nested->went_on = true;
    if (nested->map[PAGE] != 0)
        nested->inner = true;
    nested->went_on = false;
}

static void a_fault_is_false(void)
{
    uint8_t *map = map_too_much(), bytes[16];
    CU_ASSERT_EQUAL(cairn_guard_install(), 0);
    uint64_t before = cairn_guard_faults();
    CU_ASSERT(cairn_guard_copy(bytes, map + PAGE - 16, 16));
    for (int i = 0; i < 1000; ++i)
        CU_ASSERT_FALSE(cairn_guard_copy(bytes, map + PAGE - 8, 16));
    CU_ASSERT_EQUAL(cairn_guard_faults(), before + 1000);
    /* the inner guard is left first, and the outer one still stands */
    nested_t nested = {.map = map};
    CU_ASSERT_FALSE(cairn_guard_run(touch_nested, &nested));
    CU_ASSERT_FALSE(nested.inner);
    CU_ASSERT_TRUE(nested.went_on);
    munmap(map, (size_t)2 * PAGE);
}

/* how a child ends that does this */
static int end_of(void (*act)(const uint8_t *map))
{
    uint8_t *map = map_too_much();
    pid_t pid = fork();
    if (pid == 0) {
        cairn_guard_install();
        act(map);
        _exit(0);
    }
    int status = 0;
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    munmap(map, (size_t)2 * PAGE);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void touch_bare(const uint8_t *map)
{
    volatile uint8_t byte = map[PAGE];
    (void)byte;
}

static void touch_sent(void *ctx)
{
    (void)ctx;
    kill(getpid(), SIGBUS);
    usleep(100000);
}

static void send_signal(const uint8_t *map)
{
    (void)map;
    cairn_guard_run(touch_sent, NULL);
}

/* what no guard expects is a bug of ours, and a core dump is wanted */
static void without_a_guard_the_process_ends(void)
{
    CU_ASSERT_EQUAL(end_of(touch_bare), -SIGBUS);
    CU_ASSERT_EQUAL(end_of(send_signal), -SIGBUS);
}

/* ---------------------------------------------------------------- a store */

/* the sealed segment with the oldest records is cut to this many bytes */
static void cut_first_segment(const fixture_t *f, uint64_t bytes)
{
    char path[512];
    snprintf(path, sizeof(path), "%s", fixture_path(f, "0000000000000001-0000.seg"));
    cut_sealed(path, bytes);
}

static void put_value(fixture_t *f, const char *key, size_t bytes)
{
    char *value = noise(bytes, bytes);
    outcome_t o = fixture_write(f, CAIRN_WRITE_PUT, text(key), (cairn_bytes_t){NULL, 0},
                                (cairn_bytes_t){value, bytes}, CAIRN_SYNC);
    CU_ASSERT_EQUAL_FATAL(o.err, CAIRN_OK);
    free(value);
}

static bool has_value(fixture_t *f, const char *key, size_t bytes)
{
    cairn_value_t value;
    char *expected = noise(bytes, bytes), *got = malloc(bytes);
    bool has = fixture_get(f, text(key), &value) == CAIRN_OK && value.count == bytes &&
               cairn_value_copy(&value, 0, got, bytes) && memcmp(expected, got, bytes) == 0;
    free(expected);
    free(got);
    return has;
}

static cairn_err_t get_err(fixture_t *f, const char *key)
{
    cairn_value_t value;
    return fixture_get(f, text(key), &value);
}

#define STORE_SEGMENT_BYTES MIB

/* "first" lies in the first page of its segment, the others far behind it; "far" in the next */
static void open_with_values(fixture_t *f)
{
    fixture_init(f, TEMP_DIR_IN_MEMORY);
    f->options.segment_bytes = STORE_SEGMENT_BYTES;
    CU_ASSERT_EQUAL_FATAL(fixture_open(f), CAIRN_OK);
    put_value(f, "first", 100);
    put_value(f, "fill", 100 * KIB);
    put_value(f, "small", 100);
    put_value(f, "other", 100);
    put_value(f, "middle", 100 * KIB);
    put_value(f, "large", 400 * KIB);
    put_value(f, "far", 500 * KIB);
    fixture_write(f, CAIRN_WRITE_SYNC, text("x"), text(""), text(""), CAIRN_SYNC);
}

static bool is_unreadable(cairn_err_t err)
{
    return err == CAIRN_ERR_IO || err == CAIRN_ERR_DAMAGED;
}

static void a_cut_file_fails_its_keys_only(void)
{
    static const char *const lost[] = {"fill", "small", "other", "middle", "large"};
    fixture_t f;
    open_with_values(&f);
    cut_first_segment(&f, (uint64_t)2 * PAGE);
    /* what was in memory a moment ago is touched without asking; two seconds later it is asked
     * about first: a fault of the map, and one of the system call */
    for (int round = 0; round < 2; ++round) {
        for (size_t i = 0; i < sizeof(lost) / sizeof(lost[0]); ++i)
            CU_ASSERT(is_unreadable(get_err(&f, lost[i])));
        CU_ASSERT(has_value(&f, "first", 100));
        CU_ASSERT(has_value(&f, "far", 500 * KIB));
        CU_ASSERT_EQUAL(get_err(&f, "nobody"), CAIRN_ERR_NOT_FOUND);
        if (round == 0)
            sleep_ms(2600);
    }
    fixture_dispose(&f);
}

/* the writer meets the same pages */
static void writes_meet_what_cannot_be_read(void)
{
    fixture_t f;
    open_with_values(&f);
    cut_first_segment(&f, (uint64_t)2 * PAGE);
    cairn_bytes_t none = {NULL, 0};
    outcome_t o = fixture_write(&f, CAIRN_WRITE_INCR, text("small"), none, none, CAIRN_SYNC);
    CU_ASSERT(is_unreadable(o.err));
    o = fixture_write(&f, CAIRN_WRITE_APPEND, text("large"), none, text("x"), CAIRN_SYNC);
    CU_ASSERT(is_unreadable(o.err));
    /* a new value needs nothing of the old one */
    CU_ASSERT_EQUAL(fixture_put(&f, "small", "new").err, CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_put(&f, "large", "new").err, CAIRN_OK);
    CU_ASSERT(fixture_has(&f, "small", "new"));
    CU_ASSERT(fixture_has(&f, "large", "new"));
    CU_ASSERT_EQUAL(fixture_delete(&f, "other").err, CAIRN_OK);
    CU_ASSERT_EQUAL(get_err(&f, "other"), CAIRN_ERR_NOT_FOUND);
    CU_ASSERT(is_unreadable(get_err(&f, "middle")));
    CU_ASSERT_FALSE(cairn_store_has_failed(f.store));
    fixture_dispose(&f);
}

static void a_batch_of_gets_fails_where_it_must(void)
{
    static const char *const names[] = {"first", "small", "middle", "far", "nobody"};
    cairn_key_t keys[5];
    cairn_value_t values[5];
    cairn_err_t errs[5];
    fixture_t f;
    open_with_values(&f);
    cut_first_segment(&f, (uint64_t)2 * PAGE);
    for (size_t i = 0; i < 5; ++i)
        keys[i] = cairn_store_key(f.store, names[i], strlen(names[i]));
    cairn_store_get_batch(f.store, 5, keys, values, errs);
    CU_ASSERT_EQUAL(errs[0], CAIRN_OK);
    CU_ASSERT(is_unreadable(errs[1]));
    CU_ASSERT(is_unreadable(errs[2]));
    CU_ASSERT(errs[3] == CAIRN_OK || errs[3] == CAIRN_ERR_COLD);
    CU_ASSERT_EQUAL(errs[4], CAIRN_ERR_NOT_FOUND);
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- a server */

static const char *const small_segments[] = {"--storage.segment_bytes=16MiB", NULL};

static void put_over_http(http_conn_t *conn, const char *target, size_t bytes)
{
    char *value = noise(bytes, bytes);
    CU_ASSERT_EQUAL(exchange_status(conn, "PUT", target, NULL, value, bytes), 201);
    free(value);
}

static bool gives(http_conn_t *conn, const char *target, size_t bytes)
{
    http_response_t res;
    char *value = noise(bytes, bytes);
    exchange(conn, "GET", target, NULL, NULL, 0, &res);
    bool gave = res.status == 200 && body_is(&res, value, bytes);
    http_response_dispose(&res);
    free(value);
    return gave;
}

/* a problem, or a value cut off before its end; never bytes that are wrong, never silence */
static bool is_refused_or_cut(const site_t *site, const char *target,
                              bool (*open)(const site_t *, http_conn_t *))
{
    http_conn_t conn;
    http_response_t res;
    if (!open(site, &conn))
        return false;
    bool is_answered = http_request(&conn, "GET", target, NULL, NULL, 0, &res);
    bool is_right = is_answered ? is_problem(&res, 500, "read_failed") : conn.is_server_gone;
    if (is_answered)
        http_response_dispose(&res);
    http_close(&conn);
    return is_right;
}

static bool open_plain(const site_t *site, http_conn_t *conn)
{
    return http_open(conn, site->server.port);
}

static bool open_over_tls(const site_t *site, http_conn_t *conn)
{
    return tls_open(conn, site->server.port, NULL);
}

static void serve_around_a_cut(const char *const *flags,
                               bool (*open)(const site_t *, http_conn_t *))
{
    site_t site;
    http_conn_t conn;
    http_response_t res;
    char path[400];
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_IN_MEMORY, flags), 0);
    CU_ASSERT_TRUE_FATAL(open(&site, &conn));
    put_over_http(&conn, "/v1/kv/first", 100);
    put_over_http(&conn, "/v1/kv/fill", 100 * KIB);
    put_over_http(&conn, "/v1/kv/small", 100);
    put_over_http(&conn, "/v1/kv/middle", 150 * KIB);
    put_over_http(&conn, "/v1/kv/large", 6 * MIB);
    put_over_http(&conn, "/v1/kv/far", 12 * MIB);
    snprintf(path, sizeof(path), "%s/0000000000000001-0000.seg", site.data);
    cut_sealed(path, (uint64_t)2 * PAGE);
    CU_ASSERT(is_refused_or_cut(&site, "/v1/kv/small", open));
    CU_ASSERT(is_refused_or_cut(&site, "/v1/kv/middle", open));
    CU_ASSERT(is_refused_or_cut(&site, "/v1/kv/large", open));
    static const char ops[] =
        "{\"op\":\"get\",\"key\":\"first\"}\n{\"op\":\"get\",\"key\":\"small\"}\n"
        "{\"op\":\"get\",\"key\":\"large\"}\n";
    exchange(&conn, "POST", "/v1/batch", "Content-Type: application/x-ndjson\r\n", ops,
             sizeof(ops) - 1, &res);
    CU_ASSERT_EQUAL(res.status, 200);
    CU_ASSERT_PTR_NOT_NULL(strstr(res.body, "{\"status\":500,\"code\":\"read_failed\"}\n{\"status\""
                                            ":500,\"code\":\"read_failed\"}\n"));
    http_response_dispose(&res);
    CU_ASSERT(gives(&conn, "/v1/kv/first", 100));
    CU_ASSERT(gives(&conn, "/v1/kv/far", 12 * MIB));
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/large", NULL, "new", 3), 204);
    CU_ASSERT_EQUAL(exchange_status(&conn, "DELETE", "/v1/kv/small", NULL, NULL, 0), 204);
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

static void a_server_goes_on(void)
{
    serve_around_a_cut(small_segments, open_plain);
}

static void a_server_goes_on_over_tls(void)
{
    temp_dir_t dir;
    char certificate[300], key[300], certificate_flag[320], key_flag[320];
    CU_ASSERT_TRUE_FATAL(temp_dir_create(&dir, TEMP_DIR_IN_MEMORY));
    snprintf(certificate, sizeof(certificate), "%s/c.pem", dir.path);
    snprintf(key, sizeof(key), "%s/k.pem", dir.path);
    CU_ASSERT_TRUE_FATAL(tls_make_certificate("test.example", certificate, key));
    snprintf(certificate_flag, sizeof(certificate_flag), "--tls.certificate=%s", certificate);
    snprintf(key_flag, sizeof(key_flag), "--tls.key=%s", key);
    const char *const flags[] = {small_segments[0], certificate_flag, key_flag, NULL};
    serve_around_a_cut(flags, open_over_tls);
    temp_dir_remove(&dir);
}

/* a client reads slowly while the file is cut: what was promised cannot be kept, the rest can */
static void cut_while_it_is_sent(void)
{
    site_t site;
    http_conn_t slow;
    char path[400];
    static const char request[] = "GET /v1/kv/large HTTP/1.1\r\nHost: x\r\n\r\n";
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_IN_MEMORY, small_segments), 0);
    site_open(&site, &slow);
    put_over_http(&slow, "/v1/kv/large", 14 * MIB);
    CU_ASSERT(http_send(&slow, request, sizeof(request) - 1));
    sleep_ms(200);
    snprintf(path, sizeof(path), "%s/0000000000000001-0000.seg", site.data);
    chmod(path, 0600);
    CU_ASSERT_EQUAL_FATAL(truncate(path, (off_t)2 * PAGE), 0);
    http_response_t res;
    CU_ASSERT_FALSE(http_read_response(&slow, "GET", &res));
    CU_ASSERT(slow.is_server_gone);
    http_close(&slow);
    CU_ASSERT(site_answers(&site));
    CU_ASSERT_EQUAL(server_kill(&site.server), -SIGKILL);
    server_dispose(&site.server);
    temp_dir_remove(&site.dir);
}

/* ---------------------------------------------------------------- a real disk */

/* takes the pages of a file away from this process, where it has them mapped */
static void unmap_pages(const char *path)
{
    char line[600];
    FILE *maps = fopen("/proc/self/maps", "re");
    CU_ASSERT_PTR_NOT_NULL_FATAL(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        unsigned long from, to;
        if (strstr(line, path) != NULL && sscanf(line, "%lx-%lx", &from, &to) == 2)
            CU_ASSERT_EQUAL(madvise((void *)from, to - from, MADV_DONTNEED), 0);
    }
    fclose(maps);
}

/* pages of the file that are in memory, between these bytes */
static size_t pages_in_memory(int fd, size_t from, size_t to)
{
    unsigned char resident[1024] = {0};
    size_t count = 0, pages = (to - from) / PAGE;
    void *map = mmap(NULL, to - from, PROT_READ, MAP_SHARED, fd, (off_t)from);
    CU_ASSERT_FATAL(map != MAP_FAILED && pages <= sizeof(resident));
    CU_ASSERT_EQUAL(mincore(map, to - from, resident), 0);
    munmap(map, to - from);
    for (size_t i = 0; i < pages; ++i)
        count += resident[i] & 1;
    return count;
}

/* takes the pages away from the page cache, too: they are on disk. The kernel keeps one that is
 * being looked at or written, or waits in a list of some processor, so it is asked until it has let
 * go */
static bool forget_pages(const char *path, size_t from, size_t to)
{
    size_t left = SIZE_MAX;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CU_ASSERT_FATAL(fd >= 0);
    for (int tries = 0; tries < 1000 && left != 0; ++tries) {
        unmap_pages(path);
        CU_ASSERT_EQUAL(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        left = pages_in_memory(fd, from, to);
        if (left != 0)
            sleep_ms(10);
    }
    close(fd);
    return left == 0;
}

static void a_real_disk_cannot_read(void)
{
    fixture_t f;
    loop_disk_t disk;
    char path[400];
    if (!loop_disk_create(&disk, "ext4", 64 * MIB, TEMP_DIR_IN_MEMORY)) {
        printf(" (skipped: %s) ", disk.error);
        return;
    }
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.segment_bytes = 4 * MIB;
    f.options.path = disk.mount;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    put_value(&f, "first", 100);
    put_value(&f, "fill", 600 * KIB);
    put_value(&f, "small", 100);
    put_value(&f, "large", 2 * MIB);
    snprintf(path, sizeof(path), "%s/0000000000000001-0000.seg", disk.mount);
    sync();
    if (loop_disk_lose_end_of(&disk, path, 500 * KIB)) {
        CU_ASSERT(forget_pages(path, 512 * KIB, 2 * MIB));
        for (int round = 0; round < 2; ++round) {
            CU_ASSERT(is_unreadable(get_err(&f, "small")));
            CU_ASSERT(is_unreadable(get_err(&f, "large")));
            CU_ASSERT(has_value(&f, "first", 100));
            CU_ASSERT_EQUAL(get_err(&f, "nobody"), CAIRN_ERR_NOT_FOUND);
            if (round == 0)
                sleep_ms(2600); /* until nothing is known to be in memory any more */
        }
    } else {
        CU_FAIL("the end of the file is not lost");
    }
    fixture_dispose(&f);
    CU_ASSERT(loop_disk_destroy(&disk));
}

/* what cannot be read is damage like any other; what is made of it is written to the same disk */
static void a_real_disk_that_cannot_read_is_salvaged(void)
{
    fixture_t f;
    loop_disk_t disk;
    cairn_damage_t damage;
    char path[400];
    if (!loop_disk_create(&disk, "ext4", 64 * MIB, TEMP_DIR_IN_MEMORY)) {
        printf(" (skipped: %s) ", disk.error);
        return;
    }
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.segment_bytes = 4 * MIB;
    f.options.path = disk.mount;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    put_value(&f, "first", 100);
    put_value(&f, "fill", 600 * KIB);
    put_value(&f, "small", 100);
    put_value(&f, "large", 2 * MIB);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    snprintf(path, sizeof(path), "%s/0000000000000001-0000.seg", disk.mount);
    CU_ASSERT_FATAL(loop_disk_lose_end_of(&disk, path, 500 * KIB));
    CU_ASSERT(forget_pages(path, 512 * KIB, 2 * MIB));
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, "'cairn serve --salvage'"));
    f.options.salvage = true;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    CU_ASSERT(has_value(&f, "first", 100));
    CU_ASSERT_EQUAL(get_err(&f, "fill"), CAIRN_ERR_DAMAGED);
    CU_ASSERT_EQUAL(get_err(&f, "small"), CAIRN_ERR_NOT_FOUND);
    cairn_store_damage(f.store, &damage);
    CU_ASSERT_EQUAL(damage.lost_keys, 1);
    CU_ASSERT(damage.lost_first == 3 && damage.lost_last == 4 && damage.lost_versions == 2);
    put_value(&f, "more", 100);
    f.options.salvage = false;
    fixture_restart(&f);
    CU_ASSERT(has_value(&f, "first", 100) && has_value(&f, "more", 100));
    CU_ASSERT_EQUAL(get_err(&f, "fill"), CAIRN_ERR_DAMAGED);
    fixture_dispose(&f);
    CU_ASSERT(loop_disk_destroy(&disk));
}

void suite_read_errors(void)
{
    CU_pSuite s = CU_add_suite("read_errors", NULL, NULL);
    CU_add_test(s, "a page that cannot be read is false from the guard", a_fault_is_false);
    CU_add_test(s, "without a guard the process ends", without_a_guard_the_process_ends);
    CU_add_test(s, "a cut file fails the keys behind the cut only", a_cut_file_fails_its_keys_only);
    CU_add_test(s, "writes meet what cannot be read", writes_meet_what_cannot_be_read);
    CU_add_test(s, "a batch of gets fails where it must", a_batch_of_gets_fails_where_it_must);
    CU_add_test(s, "a server goes on around a cut file", a_server_goes_on);
    CU_add_test(s, "over TLS it does too", a_server_goes_on_over_tls);
    CU_add_test(s, "a file cut while a value of it is sent", cut_while_it_is_sent);
    CU_add_test(s, "a real disk that cannot read", a_real_disk_cannot_read);
    CU_add_test(s, "a real disk that cannot read is salvaged",
                a_real_disk_that_cannot_read_is_salvaged);
}
