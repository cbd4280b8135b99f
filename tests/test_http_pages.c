/*
 * Pages for people: the front page, and the dashboard that is linked from it.
 */
#include <CUnit/CUnit.h>

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "tests/site.h"
#include "tests/suites.h"

static site_t site;

static int start(void)
{
    return site_start_in_memory(&site, NULL);
}

static int end(void)
{
    return site_end(&site);
}

static void get(const char *target, const char *headers, http_response_t *res)
{
    http_conn_t conn;
    site_open(&site, &conn);
    exchange(&conn, "GET", target, headers, NULL, 0, res);
    CU_ASSERT_EQUAL_FATAL(res->status, 200);
    http_close(&conn);
}

static void front_page(void)
{
    static const struct {
        const char *accept;
        bool is_html;
    } rows[] = {{NULL, false},
                {"Accept: */*\r\n", false},
                {"Accept: text/plain\r\n", false},
                {"Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n", true}};
    http_response_t res;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        get("/", rows[i].accept, &res);
        CU_ASSERT(
            header_is(&res, "content-type",
                      rows[i].is_html ? "text/html; charset=utf-8" : "text/plain; charset=utf-8"));
        CU_ASSERT(header_is(&res, "vary", "accept"));
        CU_ASSERT_PTR_NOT_NULL(strstr(res.body, "a durable key-value database"));
        CU_ASSERT_PTR_NOT_NULL(
            strstr(res.body, rows[i].is_html ? "<a href=\"/dashboard\">" : "/dashboard"));
        http_response_dispose(&res);
    }
}

/* every link of the front page leads somewhere */
static void links_lead_somewhere(void)
{
    http_response_t res;
    http_conn_t conn;
    size_t count = 0;
    get("/", "Accept: text/html\r\n", &res);
    site_open(&site, &conn);
    for (const char *at = res.body; (at = strstr(at, "href=\"")) != NULL; ++count) {
        char target[64];
        CU_ASSERT_EQUAL_FATAL(sscanf(at, "href=\"%63[^\"]", target), 1);
        CU_ASSERT_EQUAL(exchange_status(&conn, "GET", target, NULL, NULL, 0) / 100, 2);
        at += 6;
    }
    CU_ASSERT(count >= 4);
    http_close(&conn);
    http_response_dispose(&res);
}

/* whether the policy has the sum of the one piece of the page between two tags */
static bool allows_sum(const http_response_t *res, const char *begin, const char *end_tag)
{
    uint8_t sum[EVP_MAX_MD_SIZE];
    unsigned count;
    char text[64], expected[80];
    const char *from = strstr(res->body, begin);
    const char *to = from != NULL ? strstr(from, end_tag) : NULL;
    if (to == NULL || strstr(to, begin) != NULL)
        return false;
    from += strlen(begin);
    if (EVP_Digest(from, (size_t)(to - from), sum, &count, EVP_sha256(), NULL) != 1)
        return false;
    EVP_EncodeBlock((unsigned char *)text, sum, (int)count);
    snprintf(expected, sizeof(expected), "'sha256-%s'", text);
    return strstr(http_header(res, "content-security-policy"), expected) != NULL;
}

/* a strict policy that the page itself keeps: one style, one script, nothing from elsewhere */
static void dashboard_is_self_contained(void)
{
    static const char *const absent[] = {"src=",      "@import",      "url(",    " style=\"",
                                         "innerHTML", "<script ",     "onclick", "eval(",
                                         "https://",  "localStorage", "\t"};
    http_response_t res;
    get("/dashboard", NULL, &res);
    CU_ASSERT(header_is(&res, "content-type", "text/html; charset=utf-8"));
    CU_ASSERT(header_is(&res, "x-content-type-options", "nosniff"));
    CU_ASSERT(header_is(&res, "referrer-policy", "no-referrer"));
    const char *policy = http_header(&res, "content-security-policy");
    CU_ASSERT_PTR_NOT_NULL_FATAL(policy);
    CU_ASSERT_PTR_NOT_NULL(strstr(policy, "default-src 'none';"));
    CU_ASSERT_PTR_NOT_NULL(strstr(policy, "connect-src 'self';"));
    CU_ASSERT_PTR_NOT_NULL(strstr(policy, "frame-ancestors 'none'"));
    CU_ASSERT_PTR_NULL(strstr(policy, "unsafe"));
    CU_ASSERT(allows_sum(&res, "<script>", "</script>"));
    CU_ASSERT(allows_sum(&res, "<style>", "</style>"));
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); ++i)
        CU_ASSERT_PTR_NULL(strstr(res.body, absent[i]));
    http_response_dispose(&res);
}

/* whether the object has what `path`, a.b.c, names; what follows a member that is none is not asked
 */
static bool has_path(const json_t *json, const char *path)
{
    while (json_is_object(json) && *path != '\0') {
        char name[64];
        size_t count = strcspn(path, ".");
        snprintf(name, sizeof(name), "%.*s", (int)count, path);
        json = json_object_get(json, name);
        path += count + (path[count] == '.');
    }
    return json != NULL;
}

/* every now.x.y of its script is in the answer of /v1/stats */
static void dashboard_reads_what_there_is(void)
{
    http_response_t page, res;
    size_t count = 0;
    get("/dashboard", NULL, &page);
    get("/v1/stats", NULL, &res);
    json_t *stats = json_loads(res.body, 0, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(stats);
    for (const char *at = page.body; (at = strstr(at, "now.")) != NULL; ++count) {
        char path[96];
        at += 4;
        CU_ASSERT_EQUAL_FATAL(sscanf(at, "%95[a-z_.]", path), 1);
        bool has = has_path(stats, path);
        if (!has)
            fprintf(stderr, "\n    not in /v1/stats: %s", path);
        CU_ASSERT(has);
    }
    CU_ASSERT(count > 30);
    json_decref(stats);
    http_response_dispose(&page);
    http_response_dispose(&res);
}

void suite_http_pages(void)
{
    CU_pSuite s = CU_add_suite("http_pages: what a person sees", start, end);
    CU_add_test(s, "the front page is HTML for a browser only", front_page);
    CU_add_test(s, "the front page's links lead somewhere", links_lead_somewhere);
    CU_add_test(s, "the dashboard is whole, and its policy strict", dashboard_is_self_contained);
    CU_add_test(s, "the dashboard reads what there is", dashboard_reads_what_there_is);
}
