/*
 * server/listing.c - many keys: GET /v1/keys in their order, GET /v1/scan by what values contain.
 *
 * A page is made on the I/O pool in steps, between which others have the thread and the worker
 * looks whether the client is still there. It ends when there are enough rows, when it has become
 * large, or when it has taken long enough; the Link says where to go on. Nothing is kept between
 * two pages: the place is in the Link.
 */
#include "server/listing.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "server/clock.h"
#include "server/conn.h"
#include "server/json_text.h"
#include "server/list_request.h"
#include "server/meta_json.h"
#include "server/pending.h"
#include "server/reply.h"
#include "server/target.h"
#include "server/write_request.h"
#include "storage/listing.h"
#include "storage/search.h"

/** what a step of the I/O pool may look at: some ten milliseconds, if it lies in memory */
#define STEP_ENTRIES 65536
#define STEP_BYTES ((uint64_t)16 << 20)
/** a page ends, though the limit has not been reached, behind the row that comes to this */
#define PAGE_BYTES ((size_t)4 << 20)
/** and when it has taken so long, though nothing has been found: clients and proxies wait a while
 */
#define PAGE_NS (10 * 1000000000ull)
/** what is given to a socket at once */
#define PIECE_BYTES ((size_t)262144)
/** of a Link without what it says of keys and values */
#define LINK_BYTES_MAX 192

typedef struct st_listing_page_t {
    h2o_generator_t super;
    cairn_pending_job_t job;
    h2o_req_t *req;
    cairn_store_t *store;
    bool is_scan;
    cairn_bytes_t prefix;
    cairn_bytes_t contains; /* of a scan */
    size_t limit;
    bool wants_values;
    bool wants_meta;            /* all that is stored beside a value */
    bool is_partial;            /* what is damaged beyond recognition may be left out */
    cairn_listing_t listing;    /* where it stands */
    cairn_search_place_t place; /* or, of a scan, this */
    uint64_t began_ns;
    cairn_listing_result_t result; /* of the last step */
    cairn_err_t err;
    size_t count; /* rows made */
    cairn_json_text_t text;
    size_t sent; /* bytes of it */
} page_t;

/* ---------------------------------------------------------------- rows */

static void add_number(cairn_json_text_t *text, const char *name, uint64_t number)
{
    cairn_json_text_add_raw(text, name);
    cairn_json_text_add_number(text, number);
}

static void add_row(page_t *page, const cairn_row_t *row)
{
    cairn_json_text_t *text = &page->text;
    cairn_json_text_add_raw(text, "{");
    cairn_json_text_add_bytes(text, "key", row->key.base, row->key.count);
    if (row->version != 0) {
        add_number(text, ",\"version\":", row->version);
        add_number(text, ",\"size\":", row->value_bytes);
    }
    if (row->err != CAIRN_OK) {
        cairn_json_text_add(text, ",\"error\":\"%s\"",
                            cairn_problem_code(cairn_problem_of(row->err)));
    } else {
        cairn_meta_json_add_type(text, row->meta);
        if (page->wants_meta)
            cairn_meta_json_add_rest(text, row->meta);
        if (row->expiry_ms != 0)
            add_number(text, ",\"expires\":", row->expiry_ms);
        if (page->wants_values) {
            cairn_json_text_add_raw(text, ",");
            cairn_json_text_add_bytes(text, "value", row->value.base, row->value.count);
        }
    }
    cairn_json_text_add_raw(text, "}\n");
    ++page->count;
}

/* ---------------------------------------------------------------- a step, on the I/O pool */

static bool is_full(const page_t *page)
{
    return page->count >= page->limit || page->text.count >= PAGE_BYTES;
}

/** a page that has all rows it may have: whether there is more decides on the Link */
static void look_ahead(page_t *page, cairn_listing_reader_t *reader)
{
    cairn_listing_t stands = page->listing;
    cairn_row_t row;
    if (cairn_listing_next(reader, &row, &page->err) == CAIRN_LISTING_END)
        page->result = CAIRN_LISTING_END;
    page->listing = stands;
}

static void list_some(page_t *page)
{
    cairn_listing_options_t options = {.prefix = page->prefix,
                                       .wants_values = page->wants_values,
                                       .is_partial = page->is_partial,
                                       .entries_max = STEP_ENTRIES};
    cairn_row_t row;
    cairn_listing_reader_t *reader = cairn_listing_begin(page->store, &page->listing, &options);
    page->err = CAIRN_ERR_NOMEM;
    page->result = reader != NULL ? CAIRN_LISTING_PAUSED : CAIRN_LISTING_FAILED;
    while (reader != NULL && !is_full(page) &&
           (page->result = cairn_listing_next(reader, &row, &page->err)) == CAIRN_LISTING_ROW)
        add_row(page, &row);
    if (page->result == CAIRN_LISTING_ROW)
        look_ahead(page, reader);
    cairn_listing_end(reader);
}

static void search_some(page_t *page)
{
    cairn_search_options_t options = {.prefix = page->prefix,
                                      .contains = page->contains,
                                      .is_partial = page->is_partial,
                                      .bytes_max = STEP_BYTES};
    cairn_row_t row;
    cairn_search_t *search = cairn_search_begin(page->store, &page->place, &options);
    page->err = CAIRN_ERR_NOMEM;
    page->result = search != NULL ? CAIRN_LISTING_PAUSED : CAIRN_LISTING_FAILED;
    while (search != NULL && !is_full(page) &&
           (page->result = cairn_search_next(search, &row, &page->err)) == CAIRN_LISTING_ROW)
        add_row(page, &row);
    cairn_search_end(search);
}

static void work(cairn_pending_job_t *job)
{
    page_t *page = H2O_STRUCT_FROM_MEMBER(page_t, job, job);
    if (page->is_scan)
        search_some(page);
    else
        list_some(page);
}

/* ---------------------------------------------------------------- the answer */

/** nothing where it is empty */
static int add_param(char *link, const char *name, cairn_bytes_t value)
{
    if (value.count == 0)
        return 0;
    int n = sprintf(link, "&%s=", name);
    return n + (int)cairn_target_encode(value.base, value.count, link + n);
}

static void add_link(page_t *page)
{
    h2o_req_t *req = page->req;
    cairn_bytes_t after = cairn_listing_after(&page->listing);
    size_t keys = page->prefix.count + page->contains.count + after.count;
    char *link = h2o_mem_alloc_pool(&req->pool, LINK_BYTES_MAX + 3 * keys);
    int n = sprintf(link, "</v1/%s?limit=%zu%s%s%s", page->is_scan ? "scan" : "keys", page->limit,
                    page->wants_values ? "&values=true" : "", page->wants_meta ? "&meta=true" : "",
                    page->is_partial ? "&partial=true" : "");
    if (page->is_scan)
        n += sprintf(link + n, "&cursor=%" PRIu64, page->place.version);
    n += add_param(link + n, "after", after);
    n += add_param(link + n, "prefix", page->prefix);
    n += add_param(link + n, "contains", page->contains);
    n += sprintf(link + n, ">; rel=\"next\"");
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_LINK, NULL, link, (size_t)n);
}

static void send_piece(page_t *page)
{
    size_t left = page->text.count - page->sent, count = left < PIECE_BYTES ? left : PIECE_BYTES;
    h2o_iovec_t piece = h2o_iovec_init(page->text.bytes + page->sent, count);
    page->sent += count;
    h2o_send(page->req, &piece, count != 0,
             count == left ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
}

static void on_proceed(h2o_generator_t *super, h2o_req_t *req)
{
    (void)req;
    send_piece((page_t *)super);
}

/** of a partial page, why keys may have been left out of it */
static void add_left_out(page_t *page)
{
    cairn_err_t left_out = page->is_scan ? page->place.left_out : page->listing.left_out;
    const char *code = cairn_problem_code(cairn_problem_of(left_out));
    if (page->is_partial && left_out != CAIRN_OK)
        h2o_add_header_by_str(&page->req->pool, &page->req->res.headers,
                              H2O_STRLIT("cairn-left-out"), 0, "Cairn-Left-Out", code,
                              strlen(code));
}

/** not a value: a record that hides a key */
static void refuse(page_t *page)
{
    if (page->err == CAIRN_ERR_DAMAGED || page->err == CAIRN_ERR_IO)
        cairn_reply_problem(page->req, cairn_problem_of(page->err),
                            "a record %s, and nothing proves of which key: what is asked for might "
                            "lack it. partial=true gives all the others",
                            page->err == CAIRN_ERR_IO ? "cannot be read" : "is damaged");
    else
        cairn_reply_err(page->req, page->err);
}

static void reply(page_t *page)
{
    h2o_req_t *req = page->req;
    req->res.status = 200;
    req->res.reason = "OK";
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                   H2O_STRLIT("application/x-ndjson"));
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CACHE_CONTROL, NULL,
                   H2O_STRLIT("no-store"));
    if (page->result != CAIRN_LISTING_END)
        add_link(page);
    add_left_out(page);
    if (cairn_method_is(req, "HEAD")) {
        cairn_reply_body(req, page->text.bytes, page->text.count);
        return;
    }
    req->res.content_length = page->text.count;
    page->super.proceed = on_proceed;
    cairn_reply_start(req, &page->super);
    send_piece(page);
}

/** it may have gone, and then nobody waits for the rest; or it has said all and still listens, and
 * the Link says that there is a rest */
static bool has_hung_up(const page_t *page)
{
    if (!cairn_conn_has_gone(cairn_conn_of(page->req)))
        return false;
    page->req->http1_is_persistent = 0;
    return true;
}

static void on_worked(cairn_pending_job_t *job)
{
    page_t *page = H2O_STRUCT_FROM_MEMBER(page_t, job, job);
    bool has_failed = page->result == CAIRN_LISTING_FAILED;
    bool is_late = cairn_monotonic_ns() - page->began_ns >= PAGE_NS;
    if (has_failed && page->count == 0) {
        refuse(page);
    } else if (has_failed || is_full(page) || page->result == CAIRN_LISTING_END || is_late ||
               has_hung_up(page)) {
        reply(page); /* what failed is told to who asks for what comes next */
    } else {
        cairn_pending_run(&page->job);
    }
}

/* ---------------------------------------------------------------- the request */

static void on_dispose(void *p)
{
    cairn_json_text_dispose(&((page_t *)p)->text);
}

static bool read_request(page_t *page)
{
    h2o_req_t *req = page->req;
    cairn_bytes_t after;
    if (!cairn_list_request_prefix(req, &page->prefix) ||
        !cairn_list_request_limit(req, &page->limit) ||
        !cairn_write_request_flag(req, "values", &page->wants_values) ||
        !cairn_write_request_flag(req, "meta", &page->wants_meta) ||
        !cairn_write_request_flag(req, "partial", &page->is_partial))
        return false;
    if (page->is_scan) {
        h2o_iovec_t contains = {NULL, 0};
        if (cairn_write_request_param(req, "contains", &contains) && contains.base == NULL)
            return false;
        page->contains = (cairn_bytes_t){contains.base, contains.len};
        return cairn_list_request_version(req, "cursor", &page->place.version);
    }
    if (!cairn_list_request_key(req, "after", &after))
        return false;
    cairn_listing_from(&page->listing, page->prefix, after);
    return true;
}

static void get(h2o_req_t *req, bool is_scan)
{
    page_t *page = h2o_mem_alloc_shared(&req->pool, sizeof(*page), on_dispose);
    *page = (page_t){.req = req,
                     .store = cairn_pending_store(req),
                     .is_scan = is_scan,
                     .began_ns = cairn_monotonic_ns(),
                     .job = {.work = work, .on_worked = on_worked, .req = req}};
    if (read_request(page))
        cairn_pending_run(&page->job);
}

bool cairn_listing_handle(h2o_req_t *req, h2o_iovec_t path)
{
    bool is_scan = h2o_memis(path.base, path.len, H2O_STRLIT("/v1/scan"));
    if (!is_scan && !h2o_memis(path.base, path.len, H2O_STRLIT("/v1/keys")))
        return false;
    cairn_conn_of(req)->op = is_scan ? CAIRN_OP_SCAN : CAIRN_OP_KEYS;
    if (cairn_method_is(req, "GET") || cairn_method_is(req, "HEAD"))
        get(req, is_scan);
    else
        cairn_reply_method_not_allowed(req, "GET, HEAD");
    return true;
}
