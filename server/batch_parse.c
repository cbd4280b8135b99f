/*
 * server/batch_parse.c - the body of a batch: NDJSON, an operation a line.
 */
#include "server/batch_parse.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include <jansson.h>

#include "server/auth.h"
#include "server/batch_line.h"
#include "server/json_read.h"
#include "server/meta_json.h"
#include "server/text.h"
#include "server/units.h"
#include "server/write_request.h"

/** the text of a condition that lists as many versions as may be, quotes and blanks included */
#define CONDITION_BYTES_MAX 1024

/* members of an operation: name, and which operations take it */
#define OF(op) (1u << CAIRN_WRITE_##op)
#define OF_ANY (OF(PUT) | OF(GET) | OF(DELETE) | OF(INCR) | OF(APPEND))
#define OF_VALUE (OF(PUT) | OF(APPEND))
#define OF_WRITE (OF(PUT) | OF(DELETE) | OF(INCR) | OF(APPEND))
#define MEMBERS(X)                                                                                 \
    X(op, OF_ANY)                                                                                  \
    X(key, OF_ANY)                                                                                 \
    X(key_b64, OF_ANY)                                                                             \
    X(value, OF_VALUE)                                                                             \
    X(value_b64, OF_VALUE)                                                                         \
    X(content_type, OF_VALUE)                                                                      \
    X(content_encoding, OF_VALUE)                                                                  \
    X(cache_control, OF_VALUE)                                                                     \
    X(meta, OF_VALUE)                                                                              \
    X(ttl, OF_VALUE | OF(INCR))                                                                    \
    X(by, OF(INCR))                                                                                \
    X(if_match, OF_ANY)                                                                            \
    X(if_none_match, OF_WRITE)

/** one line, taken apart; NULL where a member is not there */
typedef struct st_members_t {
#define X(name, ops) json_t *name;
    MEMBERS(X)
#undef X
} members_t;

typedef struct st_parser_t {
    const cairn_batch_limits_t *limits;
    cairn_batch_ops_t *ops;
    cairn_batch_fault_t *fault;
    size_t line;
    members_t members;
    cairn_write_op_t op;
} parser_t;

__attribute__((format(printf, 3, 4))) static bool refuse(parser_t *p, cairn_problem_t problem,
                                                         const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(p->fault->detail, sizeof(p->fault->detail), format, args);
    va_end(args);
    p->fault->problem = problem;
    p->fault->line = p->line;
    return false;
}

/* ---------------------------------------------------------------- base64 */

/** the six bits of a digit, or -1 */
static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool cairn_base64_decode(const char *text, size_t count, uint8_t *out, size_t *out_count)
{
    size_t n = 0;
    if (count % 4 != 0)
        return false;
    size_t padding = count == 0 || text[count - 1] != '=' ? 0 : text[count - 2] != '=' ? 1 : 2;
    uint32_t bits = 0;
    for (size_t i = 0; i < count - padding; ++i) {
        int digit = digit_of(text[i]);
        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 != 0)
            out[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    *out_count = n;
    /* what the last digit has beyond the last byte */
    return (bits & ((1u << 2 * padding) - 1)) == 0;
}

/* ---------------------------------------------------------------- members */

/** whether a name may be repeated to whoever sent it, in a text that is ASCII */
static bool is_tame(const char *name)
{
    size_t at = 0;
    while (name[at] > ' ' && name[at] < 0x7f && name[at] != '"' && name[at] != '\\')
        ++at;
    return name[at] == '\0' && at != 0 && at <= 32;
}

static bool take_op(parser_t *p, const json_t *json)
{
    static const struct {
        const char *name;
        cairn_write_op_t op;
    } names[] = {{"put", CAIRN_WRITE_PUT},
                 {"get", CAIRN_WRITE_GET},
                 {"delete", CAIRN_WRITE_DELETE},
                 {"incr", CAIRN_WRITE_INCR},
                 {"append", CAIRN_WRITE_APPEND}};
    const json_t *op = json_object_get(json, "op");
    const char *text = json_string_value(op);
    for (size_t i = 0; text != NULL && i < sizeof(names) / sizeof(names[0]); ++i)
        if (h2o_memis(names[i].name, strlen(names[i].name), text, json_string_length(op))) {
            p->op = names[i].op;
            return true;
        }
    return refuse(p, CAIRN_PROBLEM_BAD_OPERATION,
                  "\"op\" is one of put, get, delete, incr, append");
}

static bool take_members(parser_t *p, json_t *json)
{
    static const struct {
        const char *name;
        size_t offset;
        unsigned ops;
    } rows[] = {
#define X(name, ops) {#name, offsetof(members_t, name), ops},
        MEMBERS(X)
#undef X
    };
    const char *name;
    json_t *value;
    p->members = (members_t){.op = NULL};
    if (!take_op(p, json))
        return false;
    json_object_foreach(json, name, value)
    {
        size_t i = 0;
        while (i < sizeof(rows) / sizeof(rows[0]) && strcmp(rows[i].name, name) != 0)
            ++i;
        if (i == sizeof(rows) / sizeof(rows[0]) || (rows[i].ops & 1u << p->op) == 0)
            return refuse(p, CAIRN_PROBLEM_BAD_OPERATION,
                          "\"%s\" is no member that this operation has",
                          is_tame(name) ? name : "...");
        bool is_list = rows[i].offset == offsetof(members_t, meta);
        if (is_list ? !json_is_array(value)
                    : rows[i].offset != offsetof(members_t, by) && !json_is_string(value))
            return refuse(p, CAIRN_PROBLEM_BAD_OPERATION, "\"%s\" must be a %s", name,
                          is_list ? "list" : "string");
        memcpy((char *)&p->members + rows[i].offset, &value, sizeof(value));
    }
    return true;
}

/** the bytes of a string, or of one in base64, then decoded to `*decoded`; neither: base is NULL */
static bool take_bytes(parser_t *p, const char *name, const json_t *plain, const json_t *base64,
                       cairn_bytes_t *bytes, void **decoded)
{
    *bytes = (cairn_bytes_t){NULL, 0};
    *decoded = NULL;
    if (plain != NULL && base64 != NULL)
        return refuse(p, CAIRN_PROBLEM_BAD_OPERATION, "give either \"%s\" or \"%s_b64\"", name,
                      name);
    if (plain != NULL)
        *bytes = (cairn_bytes_t){json_string_value(plain), json_string_length(plain)};
    if (base64 == NULL)
        return true;
    size_t count = json_string_length(base64);
    *decoded = h2o_mem_alloc(count / 4 * 3 + 3);
    bytes->base = *decoded;
    return cairn_base64_decode(json_string_value(base64), count, *decoded, &bytes->count) ||
           refuse(p, CAIRN_PROBLEM_BAD_BASE64, "\"%s_b64\" is not base64 with its padding", name);
}

/* ---------------------------------------------------------------- what is asked of a write */

/** puts what the header has in quotes into quotes: 17, 18 becomes "17", "18" */
static size_t quote(const char *text, size_t count, char *out)
{
    size_t n = 0;
    bool in_quotes = false;
    for (size_t i = 0; i < count; ++i) {
        bool is_digit = text[i] >= '0' && text[i] <= '9';
        bool was_digit = i != 0 && text[i - 1] >= '0' && text[i - 1] <= '9';
        in_quotes ^= text[i] == '"';
        if (!in_quotes && is_digit && !was_digit)
            out[n++] = '"';
        out[n++] = text[i];
        if (!in_quotes && is_digit && (i + 1 == count || text[i + 1] < '0' || text[i + 1] > '9'))
            out[n++] = '"';
    }
    return n;
}

static bool take_conditions(parser_t *p, cairn_batch_op_t *op)
{
    char texts[2][3 * CONDITION_BYTES_MAX];
    const json_t *asked[2] = {p->members.if_match, p->members.if_none_match};
    cairn_condition_texts_t parts = {.if_match = {NULL, 0}};
    cairn_bytes_t *const fields[2] = {&parts.if_match, &parts.if_none_match};
    if (asked[0] == NULL && asked[1] == NULL)
        return true;
    for (size_t i = 0; i < 2; ++i) {
        if (asked[i] == NULL)
            continue;
        if (json_string_length(asked[i]) > CONDITION_BYTES_MAX)
            return refuse(p, CAIRN_PROBLEM_BAD_CONDITION, "a condition has at most %d bytes",
                          CONDITION_BYTES_MAX);
        size_t count = quote(json_string_value(asked[i]), json_string_length(asked[i]), texts[i]);
        *fields[i] = (cairn_bytes_t){texts[i], count};
    }
    cairn_conditions_t *conditions = h2o_mem_alloc(sizeof(*conditions));
    op->_conditions = conditions;
    const char *fault = cairn_conditions_parse(&parts, conditions);
    op->write->conditions = conditions;
    return fault == NULL || refuse(p, CAIRN_PROBLEM_BAD_CONDITION, "%s", fault);
}

static bool take_ttl(parser_t *p, cairn_write_t *write)
{
    const json_t *ttl = p->members.ttl;
    if (ttl == NULL)
        return true;
    if (cairn_units_parse_ms(json_string_value(ttl), json_string_length(ttl), &write->ttl_ms) ==
            CAIRN_UNITS_OK &&
        write->ttl_ms != 0 && write->ttl_ms <= CAIRN_TTL_MS_MAX)
        return true;
    return refuse(p, CAIRN_PROBLEM_BAD_TTL,
                  "a time to live is a number with ms, s, m, h or d, such as 90s, from 1ms to "
                  "36525d");
}

static bool take_by(parser_t *p, cairn_write_t *write)
{
    if (p->members.by == NULL)
        return true;
    if (!json_is_integer(p->members.by))
        return refuse(p, CAIRN_PROBLEM_BAD_NUMBER,
                      "\"by\" is a whole number that fits 64 bits, such as 1 or -5");
    write->by = json_integer_value(p->members.by);
    return true;
}

/** what is stored with the value */
static bool take_meta(parser_t *p, cairn_meta_builder_t *meta)
{
    static const char text_plain[] = "text/plain";
    const members_t *m = &p->members;
    const char *why = NULL;
    meta->count = 0;
    if (p->op == CAIRN_WRITE_INCR)
        return cairn_meta_add(meta, CAIRN_META_CONTENT_TYPE,
                              (cairn_bytes_t){text_plain, sizeof(text_plain) - 1});
    /* a reader is told the time left instead of a Cache-Control */
    cairn_meta_json_t members = {m->content_type, m->content_encoding,
                                 m->ttl == NULL ? m->cache_control : NULL, m->meta};
    if (cairn_meta_json_read(&members, meta, &why))
        return true;
    return why != NULL
               ? refuse(p, CAIRN_PROBLEM_BAD_OPERATION, "%s", why)
               : refuse(p, CAIRN_PROBLEM_META_TOO_LARGE,
                        "Cairn-Meta-* headers have at most %d bytes together, and all that is "
                        "stored beside a value at most %d",
                        CAIRN_USER_META_BYTES_MAX, CAIRN_META_BYTES_MAX);
}

/* ---------------------------------------------------------------- operations */

static bool take_key(parser_t *p, cairn_bytes_t bytes, cairn_key_t *key)
{
    if (bytes.base == NULL)
        return refuse(p, CAIRN_PROBLEM_KEY_MISSING, "give one: \"key\" or \"key_b64\"");
    if (bytes.count == 0)
        return refuse(p, CAIRN_PROBLEM_KEY_EMPTY, "a key has at least one byte");
    if (bytes.count > CAIRN_KEY_BYTES_MAX)
        return refuse(p, CAIRN_PROBLEM_KEY_TOO_LONG, "a key has at most %d bytes",
                      CAIRN_KEY_BYTES_MAX);
    if (!cairn_auth_allows_key(p->limits->token, bytes.base, bytes.count))
        return refuse(p, CAIRN_PROBLEM_FORBIDDEN,
                      "the token is bound to a prefix that this key does not begin with");
    *key = cairn_store_key(p->limits->store, bytes.base, bytes.count);
    return true;
}

static bool take_value(parser_t *p, cairn_batch_op_t *op, cairn_bytes_t *value)
{
    uint64_t most = p->limits->value_bytes_max;
    if (!take_bytes(p, "value", p->members.value, p->members.value_b64, value, &op->_decoded))
        return false;
    if (value->base == NULL && (OF_VALUE & 1u << p->op) != 0)
        return refuse(p, CAIRN_PROBLEM_VALUE_MISSING, "give one: \"value\" or \"value_b64\"");
    if (value->count > most)
        return refuse(p, CAIRN_PROBLEM_VALUE_TOO_LARGE,
                      "the value has %zu bytes, limits.value_bytes is %" PRIu64, value->count,
                      most);
    p->ops->value_bytes += value->count;
    return true;
}

static bool make_write(parser_t *p, cairn_batch_op_t *op, const cairn_key_t *key)
{
    cairn_meta_builder_t meta;
    cairn_bytes_t value;
    if (!take_value(p, op, &value) || !take_meta(p, &meta))
        return false;
    op->write = cairn_write_create(p->op, key, (cairn_bytes_t){meta.bytes, meta.count}, value);
    if (op->write == NULL)
        return refuse(p, CAIRN_PROBLEM_NO_MEMORY, "there is no memory for the batch");
    if (p->op == CAIRN_WRITE_APPEND || value.count > CAIRN_WRITE_COPY_BYTES) {
        op->_value = json_incref(p->members.value);
    } else {
        free(op->_decoded);
        op->_decoded = NULL;
    }
    op->write->durability = p->limits->durability;
    if (p->op != CAIRN_WRITE_GET || p->members.if_match != NULL)
        p->ops->is_decided = true;
    return take_conditions(p, op) && take_ttl(p, op->write) && take_by(p, op->write);
}

static bool take_operation(parser_t *p, json_t *json, cairn_batch_op_t *op)
{
    cairn_bytes_t bytes;
    cairn_key_t key;
    void *decoded;
    if (!take_members(p, json))
        return false;
    if (p->op != CAIRN_WRITE_GET && !cairn_auth_allows_write(p->limits->token))
        return refuse(p, CAIRN_PROBLEM_FORBIDDEN, "the token's scope does not include writing");
    bool ok = take_bytes(p, "key", p->members.key, p->members.key_b64, &bytes, &decoded) &&
              take_key(p, bytes, &key) && make_write(p, op, &key);
    free(decoded);
    return ok;
}

/* ---------------------------------------------------------------- lines */

static cairn_batch_op_t *add_op(cairn_batch_ops_t *ops, size_t line)
{
    if (ops->count == ops->_capacity) {
        ops->_capacity = ops->_capacity != 0 ? 2 * ops->_capacity : 64;
        ops->list = h2o_mem_realloc(ops->list, ops->_capacity * sizeof(*ops->list));
    }
    cairn_batch_op_t *op = &ops->list[ops->count++];
    *op = (cairn_batch_op_t){.line = line};
    return op;
}

static bool is_blank(const char *text, size_t count)
{
    size_t at = 0;
    while (at < count && (text[at] == ' ' || text[at] == '\t' || text[at] == '\r'))
        ++at;
    return at == count;
}

/** a write that is nothing out of the ordinary; false, and nothing has happened, if it is another
 */
static bool take_plain(parser_t *p, const char *text, size_t count)
{
    cairn_batch_line_t line;
    const cairn_batch_limits_t *limits = p->limits;
    if (!cairn_batch_line_read(text, count, &line) || line.op == CAIRN_WRITE_GET ||
        line.key.count == 0 || line.key.count > CAIRN_KEY_BYTES_MAX ||
        line.value.count > CAIRN_WRITE_COPY_BYTES || line.value.count > limits->value_bytes_max ||
        !cairn_auth_allows_write(limits->token) ||
        !cairn_auth_allows_key(limits->token, line.key.base, line.key.count))
        return false;
    cairn_key_t key = cairn_store_key(limits->store, line.key.base, line.key.count);
    cairn_write_t *write = cairn_write_create(line.op, &key, (cairn_bytes_t){NULL, 0}, line.value);
    if (write == NULL)
        return false;
    write->durability = limits->durability;
    add_op(p->ops, p->line)->write = write;
    p->ops->value_bytes += line.value.count;
    p->ops->is_decided = true;
    return true;
}

static bool take_line(parser_t *p, const char *text, size_t count)
{
    json_error_t error;
    if (p->ops->count == p->limits->ops_max) {
        refuse(p, CAIRN_PROBLEM_BATCH_TOO_LARGE,
               "there are more operations than limits.batch_ops, %" PRIu64, p->limits->ops_max);
        return false;
    }
    if (take_plain(p, text, count))
        return true;
    json_t *json = cairn_json_read(text, count, &error);
    if (json == NULL && json_error_code(&error) == json_error_duplicate_key)
        return refuse(p, CAIRN_PROBLEM_BAD_JSON, "byte %d of the line: a member comes twice",
                      error.position);
    if (json == NULL)
        return refuse(p, CAIRN_PROBLEM_BAD_JSON,
                      "byte %d of the line: this is not JSON as expected, "
                      "{\"op\":\"put\",\"key\":\"foo\",\"value\":\"bar\"}",
                      error.position);
    bool ok = json_is_object(json) ? take_operation(p, json, add_op(p->ops, p->line))
                                   : refuse(p, CAIRN_PROBLEM_BAD_JSON,
                                            "a line is an object, "
                                            "{\"op\":\"get\",\"key\":\"foo\"}");
    json_decref(json);
    return ok;
}

bool cairn_batch_parse(cairn_bytes_t body, const cairn_batch_limits_t *limits,
                       cairn_batch_ops_t *ops, cairn_batch_fault_t *fault)
{
    parser_t p = {.limits = limits, .ops = ops, .fault = fault};
    const char *at = body.base, *end = at + body.count;
    while (at < end) {
        const char *line_end = cairn_line_end(at, end);
        ++p.line;
        if (!is_blank(at, (size_t)(line_end - at)) && !take_line(&p, at, (size_t)(line_end - at)))
            return false;
        at = line_end + 1;
    }
    for (size_t i = 0; i + 1 < ops->count; ++i)
        ops->list[i].write->next = ops->list[i + 1].write;
    return true;
}

void cairn_batch_ops_dispose(cairn_batch_ops_t *ops)
{
    for (size_t i = 0; i < ops->count && ops->list != NULL; ++i) {
        cairn_write_destroy(ops->list[i].write);
        free(ops->list[i]._conditions);
        free(ops->list[i]._decoded);
        json_decref(ops->list[i]._value);
    }
    free(ops->list);
    free(ops->gets);
    *ops = (cairn_batch_ops_t){.list = NULL};
}
