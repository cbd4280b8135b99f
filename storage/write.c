/*
 * storage/write.c - framing a write as the record it will be.
 */
#include "storage/write.h"

#include <string.h>

#include "storage/os.h"

/** a signed 64-bit number in decimal */
#define NUMBER_BYTES_MAX 20

/** room in the buffer behind the key: for writes that keep the meta and value they find, the most
 * that may be */
static size_t body_room(cairn_write_op_t op, size_t meta_bytes, size_t value_bytes)
{
    switch (op) {
    case CAIRN_WRITE_INCR:
        return CAIRN_META_BYTES_MAX + NUMBER_BYTES_MAX;
    case CAIRN_WRITE_APPEND:
        return CAIRN_META_BYTES_MAX + CAIRN_WRITE_COPY_BYTES;
    case CAIRN_WRITE_GET:
        return 0;
    default:
        return meta_bytes + (value_bytes <= CAIRN_WRITE_COPY_BYTES ? value_bytes : 0);
    }
}

static uint8_t *key_of(const cairn_write_t *write)
{
    return (uint8_t *)(write->_record + 1);
}

/** puts pieces together: the buffer has head, key, meta and `copied` bytes of value */
static void frame(cairn_write_t *write, size_t meta_bytes, size_t copied, cairn_bytes_t middle,
                  cairn_bytes_t tail)
{
    cairn_record_t *r = write->_record;
    size_t value_bytes = copied + middle.count + tail.count;
    size_t body_bytes = write->key.count + meta_bytes + copied;
    r->value_bytes = (uint32_t)value_bytes;
    r->key_bytes = (uint16_t)write->key.count;
    r->meta_bytes = (uint16_t)meta_bytes;
    write->_head_bytes = CAIRN_RECORD_HEAD_BYTES + body_bytes;
    write->_middle = middle.base;
    write->_middle_bytes = middle.count;
    write->_tail = tail.base;
    write->_tail_bytes = tail.count;
    write->_span = cairn_record_span(write->key.count, meta_bytes, value_bytes);
    const cairn_bytes_t pieces[] = {{key_of(write), body_bytes}, middle, tail};
    r->body_sum = cairn_record_body_sum(pieces, sizeof(pieces) / sizeof(pieces[0]));
}

cairn_write_t *cairn_write_create(cairn_write_op_t op, const cairn_key_t *key, cairn_bytes_t meta,
                                  cairn_bytes_t value)
{
    assert(meta.count <= CAIRN_META_BYTES_MAX && value.count <= UINT32_MAX);
    /* recovery takes a tombstone that carries something for damage */
    assert(op != CAIRN_WRITE_DELETE || meta.count + value.count == 0);
    bool is_framed_now = op == CAIRN_WRITE_PUT || op == CAIRN_WRITE_DELETE;
    size_t buffer_bytes =
        CAIRN_RECORD_HEAD_BYTES + key->count + body_room(op, meta.count, value.count);
    /* one that is framed when it is decided, perhaps twice, keeps what was given behind its buffer
     */
    size_t kept_bytes = is_framed_now ? 0 : meta.count;
    cairn_write_t *write = cairn_os->alloc(sizeof(*write) + buffer_bytes + kept_bytes);
    if (write == NULL)
        return NULL;
    uint8_t *kept = (uint8_t *)(write + 1) + buffer_bytes;
    cairn_record_type_t type = op == CAIRN_WRITE_DELETE ? CAIRN_RECORD_DELETE : CAIRN_RECORD_PUT;
    *write = (cairn_write_t){
        .op = op,
        .by = 1,
        ._given = value,
        ._given_meta = {kept, kept_bytes},
        ._record = (cairn_record_t *)(write + 1),
    };
    *write->_record = (cairn_record_t){.written = (uint64_t)type << 48};
    write->key = (cairn_key_t){key_of(write), key->count, key->hash};
    memcpy(key_of(write), key->bytes, key->count);
    if (meta.count != 0)
        memcpy(is_framed_now ? key_of(write) + key->count : kept, meta.base, meta.count);
    if (is_framed_now) {
        size_t copied = value.count <= CAIRN_WRITE_COPY_BYTES ? value.count : 0;
        if (copied != 0)
            memcpy(key_of(write) + key->count + meta.count, value.base, copied);
        frame(write, meta.count, copied, (cairn_bytes_t){NULL, 0},
              copied == value.count ? (cairn_bytes_t){NULL, 0} : value);
    } else {
        /* what it will be is not known before it is decided; this much it will take at least */
        write->_span = cairn_record_span(key->count, meta.count, value.count);
    }
    return write;
}

cairn_write_t *cairn_write_create_sync(uint64_t version)
{
    cairn_write_t *write = cairn_os->alloc(sizeof(*write));
    if (write != NULL)
        *write = (cairn_write_t){.op = CAIRN_WRITE_SYNC, .version = version};
    return write;
}

cairn_write_t *cairn_write_create_roll(void)
{
    cairn_write_t *write = cairn_os->alloc(sizeof(*write));
    if (write != NULL)
        *write = (cairn_write_t){.op = CAIRN_WRITE_ROLL};
    return write;
}

void cairn_write_destroy(cairn_write_t *write)
{
    if (write != NULL)
        cairn_write_unfind(write);
    cairn_os->free(write);
}

void cairn_write_found(cairn_write_t *get, cairn_loc_t loc, cairn_segment_t *segment)
{
    get->_loc = loc;
    get->_got_segment = segment;
    cairn_segment_pin(segment);
}

void cairn_write_unfind(cairn_write_t *get)
{
    if (get->_got_segment != NULL)
        cairn_segment_unpin(get->_got_segment);
    get->_got_segment = NULL;
}

const cairn_record_t *cairn_write_whole(cairn_write_t *write)
{
    if (write->_middle_bytes + write->_tail_bytes == 0)
        return write->_record;
    if (write->_whole == NULL)
        write->_whole = cairn_os->alloc(write->_span);
    if (write->_whole == NULL)
        return NULL;
    uint8_t *at = (uint8_t *)write->_whole;
    memcpy(at, write->_record, write->_head_bytes);
    if (write->_middle_bytes != 0)
        memcpy(at + write->_head_bytes, write->_middle, write->_middle_bytes);
    if (write->_tail_bytes != 0)
        memcpy(at + write->_head_bytes + write->_middle_bytes, write->_tail, write->_tail_bytes);
    return write->_whole;
}

void cairn_write_unframe(cairn_write_t *write)
{
    cairn_os->free(write->_whole);
    write->_whole = NULL;
    cairn_os->free(write->_middle_copy);
    write->_middle_copy = NULL;
    write->_middle_bytes = 0;
}

/** the meta that the record will have: what is there is kept, else what was given */
static size_t keep_meta(cairn_write_t *write, const cairn_record_t *present)
{
    cairn_bytes_t meta = write->_given_meta;
    if (present != NULL)
        meta = (cairn_bytes_t){cairn_record_meta(present), present->meta_bytes};
    assert(meta.count <= CAIRN_META_BYTES_MAX);
    if (meta.count != 0)
        memcpy(key_of(write) + write->key.count, meta.base, meta.count);
    return meta.count;
}

static size_t format_number(uint8_t *out, int64_t number)
{
    uint8_t digits[NUMBER_BYTES_MAX];
    size_t n = 0, at = 0;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do
        digits[n++] = (uint8_t)('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (number < 0)
        out[at++] = '-';
    while (n != 0)
        out[at++] = digits[--n];
    return at;
}

void cairn_write_frame_number(cairn_write_t *write, const cairn_record_t *present, int64_t number)
{
    size_t meta_bytes = keep_meta(write, present);
    size_t copied = format_number(key_of(write) + write->key.count + meta_bytes, number);
    write->number = number;
    frame(write, meta_bytes, copied, (cairn_bytes_t){NULL, 0}, (cairn_bytes_t){NULL, 0});
}

static bool copy_middle(cairn_write_t *write, const void *value, size_t bytes)
{
    write->_middle_copy = cairn_os->alloc(bytes);
    if (write->_middle_copy == NULL)
        return false;
    memcpy(write->_middle_copy, value, bytes);
    return true;
}

cairn_err_t cairn_write_frame_append(cairn_write_t *write, const cairn_record_t *present,
                                     bool is_in_map)
{
    cairn_write_unframe(write);
    size_t meta_bytes = keep_meta(write, present);
    uint8_t *value = key_of(write) + write->key.count + meta_bytes;
    size_t old_bytes = present != NULL ? present->value_bytes : 0;
    size_t copied = 0;
    cairn_bytes_t middle = {NULL, 0}, tail = write->_given;
    if (old_bytes <= CAIRN_WRITE_COPY_BYTES) {
        if (old_bytes != 0)
            memcpy(value, cairn_record_value(present), old_bytes);
        copied = old_bytes;
    } else {
        /* else it is a copy that the commit keeps */
        if (is_in_map && !copy_middle(write, cairn_record_value(present), old_bytes))
            return CAIRN_ERR_NOMEM;
        middle = (cairn_bytes_t){is_in_map ? write->_middle_copy : cairn_record_value(present),
                                 old_bytes};
    }
    if (middle.count == 0 && copied + tail.count <= CAIRN_WRITE_COPY_BYTES) {
        if (tail.count != 0)
            memcpy(value + copied, tail.base, tail.count);
        copied += tail.count;
        tail = (cairn_bytes_t){NULL, 0};
    }
    frame(write, meta_bytes, copied, middle, tail);
    return CAIRN_OK;
}
