/*
 * Fields beside a value: do they come back as they went in, and is rubbish not walked over?
 */
#include "storage/meta.h"

#include <CUnit/CUnit.h>

#include <string.h>

#include "tests/suites.h"

static cairn_bytes_t bytes_of(const cairn_meta_builder_t *builder)
{
    return (cairn_bytes_t){builder->bytes, builder->count};
}

static void fields_come_back_in_order(void)
{
    static const struct {
        cairn_meta_tag_t tag;
        const char *content;
        size_t count;
    } fields[] = {
        {CAIRN_META_CONTENT_TYPE, "text/plain; charset=utf-8", 25},
        {CAIRN_META_USER, "color\0red", 9},
        {CAIRN_META_USER, "empty\0", 6},
        {CAIRN_META_CONTENT_ENCODING, "", 0},
        {CAIRN_META_CACHE_CONTROL, "max-age=5", 9},
        {CAIRN_META_IDEMPOTENCY, "0123456789abcdef", 16},
    };
    cairn_meta_builder_t builder = {0};
    for (size_t i = 0; i < 6; ++i)
        CU_ASSERT_FATAL(cairn_meta_add(&builder, fields[i].tag,
                                       (cairn_bytes_t){fields[i].content, fields[i].count}));
    size_t at = 0;
    for (size_t i = 0; i < 6; ++i) {
        cairn_meta_tag_t tag;
        cairn_bytes_t content;
        CU_ASSERT_FATAL(cairn_meta_next(bytes_of(&builder), &at, &tag, &content));
        CU_ASSERT_EQUAL(tag, fields[i].tag);
        CU_ASSERT_EQUAL_FATAL(content.count, fields[i].count);
        CU_ASSERT(memcmp(content.base, fields[i].content, content.count) == 0);
    }
    CU_ASSERT_EQUAL(at, builder.count);
    CU_ASSERT_FALSE(
        cairn_meta_next(bytes_of(&builder), &at, &(cairn_meta_tag_t){0}, &(cairn_bytes_t){0}));
}

static void what_does_not_fit_is_refused(void)
{
    static const char much[CAIRN_META_BYTES_MAX + 1];
    cairn_meta_builder_t builder = {0};
    CU_ASSERT_FALSE(
        cairn_meta_add(&builder, CAIRN_META_USER, (cairn_bytes_t){much, CAIRN_META_BYTES_MAX - 3}));
    CU_ASSERT_FALSE(cairn_meta_add(&builder, CAIRN_META_USER, (cairn_bytes_t){much, SIZE_MAX}));
    CU_ASSERT_FALSE(cairn_meta_add(&builder, CAIRN_META_USER, (cairn_bytes_t){much, SIZE_MAX - 3}));
    CU_ASSERT_EQUAL(builder.count, 0);
    CU_ASSERT(cairn_meta_add(&builder, CAIRN_META_USER,
                             (cairn_bytes_t){much, CAIRN_META_BYTES_MAX - 4 - 4}));
    CU_ASSERT_FALSE(cairn_meta_add(&builder, CAIRN_META_USER, (cairn_bytes_t){much, 1}));
    CU_ASSERT(cairn_meta_add(&builder, CAIRN_META_USER, (cairn_bytes_t){NULL, 0}));
    CU_ASSERT_EQUAL(builder.count, CAIRN_META_BYTES_MAX);
}

static void cut_fields_end_the_walk(void)
{
    cairn_meta_builder_t builder = {0};
    CU_ASSERT(cairn_meta_add(&builder, CAIRN_META_USER, (cairn_bytes_t){"abc", 3}));
    CU_ASSERT(cairn_meta_add(&builder, CAIRN_META_USER, (cairn_bytes_t){"defgh", 5}));
    for (size_t cut = 0; cut <= builder.count; ++cut) {
        size_t at = 0, fields = 0;
        cairn_meta_tag_t tag;
        cairn_bytes_t content;
        while (cairn_meta_next((cairn_bytes_t){builder.bytes, cut}, &at, &tag, &content)) {
            CU_ASSERT((const uint8_t *)content.base + content.count <= builder.bytes + cut);
            ++fields;
        }
        CU_ASSERT_EQUAL(fields, cut == builder.count ? 2 : cut >= 7 ? 1 : 0);
    }
}

void suite_meta(void)
{
    CU_pSuite s = CU_add_suite("meta", NULL, NULL);
    CU_add_test(s, "fields come back in order", fields_come_back_in_order);
    CU_add_test(s, "what does not fit is refused", what_does_not_fit_is_refused);
    CU_add_test(s, "the walk ends where a field is cut", cut_fields_end_the_walk);
}
