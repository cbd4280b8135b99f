/*
 * Is a record believed only where it was written, and only as it was written?
 */
#include "storage/record.h"

#include <CUnit/CUnit.h>

#include <string.h>

#include "tests/suites.h"

#define SALT UINT64_C(0x1234567890abcdef)
#define OFFSET 4096

/** a record in memory, aligned as in a segment */
typedef union un_page_t {
    cairn_record_t r;
    uint64_t align;
    uint8_t bytes[8192];
} page_t;

static uint64_t lay(page_t *page, cairn_record_type_t type, const char *key, const char *meta,
                    const char *value)
{
    size_t key_bytes = strlen(key), meta_bytes = strlen(meta), value_bytes = strlen(value);
    memset(page, 0, sizeof(*page));
    page->r = (cairn_record_t){.version = 7,
                               .value_bytes = (uint32_t)value_bytes,
                               .key_bytes = (uint16_t)key_bytes,
                               .meta_bytes = (uint16_t)meta_bytes,
                               .written = UINT64_C(1700000000000) | (uint64_t)type << 48,
                               .expiry = UINT64_C(1800000000000)};
    uint8_t *body = (uint8_t *)(&page->r + 1);
    memcpy(body, key, key_bytes);
    memcpy(body + key_bytes, meta, meta_bytes);
    memcpy(body + key_bytes + meta_bytes, value, value_bytes);
    const cairn_bytes_t whole = {body, key_bytes + meta_bytes + value_bytes};
    page->r.body_sum = cairn_record_body_sum(&whole, 1);
    page->r.head_sum = cairn_record_head_sum(&page->r, SALT, OFFSET);
    return cairn_record_bytes(&page->r);
}

static bool head_is_valid(const page_t *page, uint64_t available)
{
    return cairn_record_head_is_valid(&page->r, available, SALT, OFFSET);
}

static void parts_are_where_they_were_put(void)
{
    page_t page;
    CU_ASSERT_EQUAL(lay(&page, CAIRN_RECORD_PUT, "key", "meta", "value"), 48 + 16);
    CU_ASSERT(head_is_valid(&page, sizeof(page)));
    CU_ASSERT(cairn_record_body_is_valid(&page.r));
    CU_ASSERT_EQUAL(cairn_record_type(&page.r), CAIRN_RECORD_PUT);
    CU_ASSERT_EQUAL(cairn_record_flags(&page.r), 0);
    CU_ASSERT_EQUAL(cairn_record_written_ms(&page.r), UINT64_C(1700000000000));
    CU_ASSERT_EQUAL(cairn_record_expiry_ms(&page.r), UINT64_C(1800000000000));
    CU_ASSERT(memcmp(cairn_record_key(&page.r), "key", 3) == 0);
    CU_ASSERT(memcmp(cairn_record_meta(&page.r), "meta", 4) == 0);
    CU_ASSERT(memcmp(cairn_record_value(&page.r), "value", 5) == 0);
    cairn_key_t same = cairn_key(7, "key", 3), longer = cairn_key(7, "keym", 4),
                other = cairn_key(7, "kez", 3);
    CU_ASSERT(cairn_record_has_key(&page.r, &same));
    CU_ASSERT_FALSE(cairn_record_has_key(&page.r, &longer));
    CU_ASSERT_FALSE(cairn_record_has_key(&page.r, &other));
}

static void a_record_belongs_to_its_place(void)
{
    page_t page;
    lay(&page, CAIRN_RECORD_PUT, "key", "", "value");
    for (int bit = 0; bit < 64; ++bit)
        CU_ASSERT_FALSE(
            cairn_record_head_is_valid(&page.r, sizeof(page), SALT ^ (uint64_t)1 << bit, OFFSET));
    for (uint64_t offset = 0; offset < 1 << 20; offset += CAIRN_RECORD_ALIGN)
        CU_ASSERT(cairn_record_head_is_valid(&page.r, sizeof(page), SALT, offset) ==
                  (offset == OFFSET));
}

static void every_flipped_bit_is_noticed(void)
{
    static const char *const values[] = {"", "v", "a value of some length", "12345678"};
    for (size_t v = 0; v < 4; ++v) {
        page_t page;
        uint64_t span = lay(&page, CAIRN_RECORD_PUT, "the key", "meta", values[v]);
        size_t head = CAIRN_RECORD_HEAD_BYTES + 7 + 4;
        for (size_t bit = 0; bit < span * 8; ++bit) {
            page.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            bool head_valid = head_is_valid(&page, sizeof(page));
            /* the head sum alone answers for header, key and meta */
            CU_ASSERT(bit / 8 >= head || !head_valid);
            CU_ASSERT_FALSE(head_valid && cairn_record_body_is_valid(&page.r));
            page.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        CU_ASSERT(head_is_valid(&page, sizeof(page)) && cairn_record_body_is_valid(&page.r));
    }
}

static void what_runs_off_the_end_is_no_record(void)
{
    page_t page;
    uint64_t span = lay(&page, CAIRN_RECORD_PUT, "key", "", "value");
    for (uint64_t available = 0; available < span; ++available)
        CU_ASSERT_FALSE(head_is_valid(&page, available));
    CU_ASSERT(head_is_valid(&page, span));
}

/** gives a nonsense record the sum it would need: its shape alone must give it away */
static bool shape_is_taken(page_t *page)
{
    page->r.head_sum = cairn_record_head_sum(&page->r, SALT, OFFSET);
    return head_is_valid(page, sizeof(*page));
}

static void impossible_shapes_are_no_records(void)
{
    page_t page;
    for (unsigned type = 0; type < 256; ++type) {
        lay(&page, (cairn_record_type_t)type, "key", "", "");
        bool valid =
            type == CAIRN_RECORD_PUT || type == CAIRN_RECORD_DELETE || type == CAIRN_RECORD_LOST;
        CU_ASSERT_EQUAL(shape_is_taken(&page), valid);
    }
    for (unsigned flags = 0; flags < 256; ++flags) {
        lay(&page, CAIRN_RECORD_PUT, "key", "", "v");
        page.r.written |= (uint64_t)flags << 56;
        CU_ASSERT_EQUAL(shape_is_taken(&page), flags <= CAIRN_RECORD_MORE);
    }
    lay(&page, CAIRN_RECORD_DELETE, "key", "", "v");
    CU_ASSERT_FALSE(shape_is_taken(&page));
    lay(&page, CAIRN_RECORD_LOST, "key", "", "v");
    CU_ASSERT_FALSE(shape_is_taken(&page));
    lay(&page, CAIRN_RECORD_LOST, "key", "meta", "");
    CU_ASSERT_FALSE(shape_is_taken(&page));
    lay(&page, CAIRN_RECORD_PUT, "", "", "v");
    CU_ASSERT_FALSE(shape_is_taken(&page));
    lay(&page, CAIRN_RECORD_PUT, "key", "", "v");
    page.r.key_bytes = CAIRN_KEY_BYTES_MAX;
    CU_ASSERT(shape_is_taken(&page));
    page.r.key_bytes = CAIRN_KEY_BYTES_MAX + 1;
    CU_ASSERT_FALSE(shape_is_taken(&page));
    lay(&page, CAIRN_RECORD_PUT, "key", "", "v");
    page.r.expiry |= (uint64_t)1 << 48;
    CU_ASSERT_FALSE(shape_is_taken(&page));
}

static void marks_and_links_come_back(void)
{
    page_t page;
    cairn_mark_t mark = {41, 2, {3, 4}, 5, 6}, mark_again;
    cairn_link_t link = {1, 4096, 77, {8, 9}}, link_again;
    memset(&page, 0xff, sizeof(page));
    CU_ASSERT_EQUAL(cairn_record_write_mark(&page.r, &mark, 42, 1234, SALT, OFFSET),
                    CAIRN_MARK_SPAN);
    CU_ASSERT(head_is_valid(&page, CAIRN_MARK_SPAN) && cairn_record_body_is_valid(&page.r));
    CU_ASSERT_EQUAL(cairn_record_type(&page.r), CAIRN_RECORD_MARK);
    CU_ASSERT_EQUAL(page.r.version, 42);
    CU_ASSERT_EQUAL(cairn_record_written_ms(&page.r), 1234);
    cairn_record_read_mark(&page.r, &mark_again);
    CU_ASSERT(memcmp(&mark, &mark_again, sizeof(mark)) == 0);
    page.r.value_bytes -= 8;
    CU_ASSERT_FALSE(shape_is_taken(&page));

    CU_ASSERT_EQUAL(cairn_record_write_link(&page.r, &link, 42, 1234, SALT, OFFSET),
                    CAIRN_LINK_SPAN);
    CU_ASSERT(head_is_valid(&page, CAIRN_LINK_SPAN) && cairn_record_body_is_valid(&page.r));
    CU_ASSERT_EQUAL(cairn_record_type(&page.r), CAIRN_RECORD_LINK);
    cairn_record_read_link(&page.r, &link_again);
    CU_ASSERT(memcmp(&link, &link_again, sizeof(link)) == 0);
}

static void the_chain_knows_the_order(void)
{
    page_t a, b;
    cairn_chain_t none = {0, 0};
    lay(&a, CAIRN_RECORD_PUT, "a", "", "1");
    lay(&b, CAIRN_RECORD_PUT, "b", "", "2");
    cairn_chain_t after_a = cairn_chain_next(&none, &a.r), after_b = cairn_chain_next(&none, &b.r);
    cairn_chain_t ab = cairn_chain_next(&after_a, &b.r), ba = cairn_chain_next(&after_b, &a.r);
    CU_ASSERT(memcmp(&ab, &ba, sizeof(ab)) != 0);
    CU_ASSERT(memcmp(&after_a, &none, sizeof(ab)) != 0);
    /* the same record in another file or place is the same link of the chain */
    a.r.head_sum = cairn_record_head_sum(&a.r, SALT + 1, 8);
    cairn_chain_t elsewhere = cairn_chain_next(&none, &a.r);
    CU_ASSERT(memcmp(&after_a, &elsewhere, sizeof(ab)) == 0);
    /* and whatever its content or header says is in it */
    for (size_t bit = 64; bit < CAIRN_RECORD_HEAD_BYTES * 8; ++bit) {
        a.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cairn_chain_t other = cairn_chain_next(&none, &a.r);
        CU_ASSERT(memcmp(&after_a, &other, sizeof(other)) != 0);
        a.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void a_sum_in_pieces_is_that_of_the_whole(void)
{
    uint8_t bytes[1000];
    for (size_t i = 0; i < sizeof(bytes); ++i)
        bytes[i] = (uint8_t)(i * 37);
    for (size_t whole = 1; whole <= sizeof(bytes); whole += 111)
        for (size_t first = 0; first <= whole; ++first) {
            size_t second = (whole - first) / 2;
            const cairn_bytes_t one = {bytes, whole};
            const cairn_bytes_t pieces[] = {{bytes, first},
                                            {bytes + first, second},
                                            {bytes + first + second, whole - first - second}};
            CU_ASSERT_EQUAL(cairn_record_body_sum(pieces, 3), cairn_record_body_sum(&one, 1));
        }
}

static void every_error_has_a_text(void)
{
#define X(name, text) CU_ASSERT_STRING_EQUAL(cairn_strerror(name), text);
    CAIRN_ERRORS(X)
#undef X
}

void suite_record(void)
{
    CU_pSuite s = CU_add_suite("record", NULL, NULL);
    CU_add_test(s, "the parts of a record are where they were put", parts_are_where_they_were_put);
    CU_add_test(s, "a record belongs to its file and offset", a_record_belongs_to_its_place);
    CU_add_test(s, "every flipped bit is noticed", every_flipped_bit_is_noticed);
    CU_add_test(s, "what runs off the end is no record", what_runs_off_the_end_is_no_record);
    CU_add_test(s, "impossible shapes are no records", impossible_shapes_are_no_records);
    CU_add_test(s, "MARK and LINK come back", marks_and_links_come_back);
    CU_add_test(s, "the chain knows content and order", the_chain_knows_the_order);
    CU_add_test(s, "a sum in pieces is that of the whole", a_sum_in_pieces_is_that_of_the_whole);
    CU_add_test(s, "every error has its text", every_error_has_a_text);
}
