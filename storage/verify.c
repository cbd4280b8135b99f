/*
 * storage/verify.c - a store that nobody has open, checked to the last byte.
 *
 * Each segment is walked twice at most: a survey looks at every record and goes on behind damage;
 * of a file without a footer, which may end torn, a scan says where its log ends.
 */
#include "storage/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/checkpoint.h"
#include "storage/guard.h"
#include "storage/lost.h"
#include "storage/os.h"
#include "storage/quarantine.h"
#include "storage/scan.h"
#include "storage/survey.h"
#include "storage/verify_internal.h"

/** pages are asked for ahead of the walk in pieces of this size, and progress is told after each */
#define AHEAD_BYTES ((uint64_t)4 << 20)

/** a segment under the eye */
typedef struct st_inspection_t {
    cairn_verify_t *verify;
    cairn_segment_t *segment;
    cairn_verify_file_t file;
    char problem[240];
    cairn_chain_t promised; /* by the last MARK */
    bool has_link, is_broken;
    cairn_link_t link;
    uint64_t told; /* bytes of progress */
} inspection_t;

static void find_fault(inspection_t *in, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** the first one is told */
static void find_fault(inspection_t *in, const char *format, ...)
{
    va_list args;
    if (in->file.problem != NULL)
        return;
    va_start(args, format);
    vsnprintf(in->problem, sizeof(in->problem), format, args);
    va_end(args);
    in->file.problem = in->problem;
    in->file.verdict = "corrupt";
}

/* ---------------------------------------------------------------- which files there are */

static bool on_entry(void *ctx, const char *entry)
{
    cairn_verify_t *v = ctx;
    cairn_verify_name_t name = {.first_version = UINT64_MAX};
    if (strcmp(entry, CAIRN_SPARE_NAME) != 0 &&
        !cairn_segment_name_parse(entry, &name.first_version, &name.generation))
        return true;
    if (v->count == v->room) {
        size_t room = v->room != 0 ? 2 * v->room : 64;
        cairn_verify_name_t *names = cairn_os->alloc(room * sizeof(*names));
        if (names == NULL) {
            v->is_out_of_memory = true;
            return false;
        }
        if (v->count != 0)
            memcpy(names, v->names, v->count * sizeof(*names));
        cairn_os->free(v->names);
        v->names = names;
        v->room = room;
    }
    snprintf(name.text, sizeof(name.text), "%s", entry);
    v->names[v->count++] = name;
    return true;
}

/** what replaced others comes before them */
static int by_version(const void *a, const void *b)
{
    const cairn_verify_name_t *x = a, *y = b;
    if (x->first_version != y->first_version)
        return x->first_version < y->first_version ? -1 : 1;
    return x->generation > y->generation ? -1 : x->generation < y->generation;
}

static cairn_err_t list_names(cairn_verify_t *v)
{
    uint64_t largest = CAIRN_SEGMENT_HEADER_BYTES;
    int err = cairn_os->list(v->dir.fd, on_entry, v);
    if (err < 0) {
        snprintf(v->errmsg, CAIRN_ERRMSG_BYTES, "the directory cannot be listed: %s",
                 strerror(-err));
        return CAIRN_ERR_IO;
    }
    if (v->is_out_of_memory)
        return CAIRN_ERR_NOMEM;
    if (v->count != 0)
        qsort(v->names, v->count, sizeof(*v->names), by_version);
    for (size_t i = 0; i < v->count; ++i) {
        uint64_t bytes = cairn_segment_file_bytes(&v->dir, v->names[i].text);
        v->bytes_total += bytes;
        largest = bytes > largest ? bytes : largest;
    }
    v->bytes_total += cairn_verify_keytable_bytes(v);
    v->bytes_total += cairn_segment_file_bytes(&v->dir, CAIRN_CHECKPOINT_NAME);
    v->space = cairn_space_create(largest);
    return v->space != NULL ? CAIRN_OK : CAIRN_ERR_NOMEM;
}

/* ---------------------------------------------------------------- the records of a file */

static const char *state_of(const cairn_survey_piece_t *piece)
{
    static const char *const states[] = {
        [CAIRN_SURVEY_WHOLE] = "whole",
        [CAIRN_SURVEY_BODY] = "damaged content",
        [CAIRN_SURVEY_HEAD] = "damaged head",
        [CAIRN_SURVEY_GAP] = "unreadable",
    };
    return states[piece->kind];
}

static const char *type_of(const cairn_record_t *r)
{
    static const char *const types[] = {
        [CAIRN_RECORD_PUT] = "put",   [CAIRN_RECORD_DELETE] = "delete",
        [CAIRN_RECORD_MARK] = "mark", [CAIRN_RECORD_LINK] = "link",
        [CAIRN_RECORD_LOST] = "lost",
    };
    cairn_record_type_t type = cairn_record_type(r);
    return type >= CAIRN_RECORD_PUT && type <= CAIRN_RECORD_LOST ? types[type] : "record";
}

static void tell_record(const inspection_t *in, const cairn_survey_piece_t *piece)
{
    const cairn_verify_options_t *options = in->verify->options;
    const cairn_record_t *r = piece->record;
    cairn_verify_record_t told = {.file = in->file.name,
                                  .offset = piece->offset,
                                  .end = piece->end,
                                  .state = state_of(piece),
                                  .is_damaged = piece->kind != CAIRN_SURVEY_WHOLE};
    if (options->on_record == NULL)
        return;
    if (r != NULL) {
        told.type = piece->key_only ? "record" : type_of(r);
        told.more = !piece->key_only && (cairn_record_flags(r) & CAIRN_RECORD_MORE) != 0;
        told.version = piece->key_only ? 0 : r->version;
        told.written_ms = piece->key_only ? 0 : cairn_record_written_ms(r);
        told.expiry_ms = piece->key_only ? 0 : cairn_record_expiry_ms(r);
        told.key = cairn_record_key(r);
        told.key_bytes = r->key_bytes;
        told.meta_bytes = r->meta_bytes;
        told.value_bytes = r->value_bytes;
        told.head_sum = r->head_sum;
        told.body_sum = r->body_sum;
    }
    options->on_record(options->ctx, &told);
}

/** MARK and LINK have their content in the map */
static bool read_content(const inspection_t *in, const cairn_survey_piece_t *piece, void *content,
                         size_t bytes)
{
    return cairn_guard_copy(content, in->segment->map + piece->offset + CAIRN_RECORD_HEAD_BYTES,
                            bytes);
}

static void take_link(inspection_t *in, const cairn_survey_piece_t *piece)
{
    if (in->has_link || in->file.records != 0 ||
        !read_content(in, piece, &in->link, sizeof(in->link))) {
        find_fault(in, "byte %" PRIu64 ": a LINK that is not the first record", piece->offset);
        return;
    }
    in->has_link = true;
    in->segment->first_version = piece->record->version + 1;
    in->segment->counts.chain = in->promised = in->link.chain;
}

static void take_mark(inspection_t *in, const cairn_survey_piece_t *piece)
{
    cairn_mark_t mark;
    const cairn_chain_t *chain = &in->segment->counts.chain;
    if (!read_content(in, piece, &mark, sizeof(mark)))
        return;
    if (memcmp(chain, &in->promised, sizeof(*chain)) != 0)
        find_fault(in, "byte %" PRIu64 ": the commit before it is not what its MARK promised",
                   piece->offset);
    in->promised = mark.chain;
}

static void take_whole(inspection_t *in, const cairn_survey_piece_t *piece)
{
    const cairn_record_t *r = piece->record;
    cairn_segment_t *segment = in->segment;
    uint64_t last = segment->counts.last_version;
    cairn_record_type_t type = cairn_record_type(r);
    cairn_segment_count(segment, r);
    if (type == CAIRN_RECORD_LINK) {
        take_link(in, piece);
    } else if (type == CAIRN_RECORD_MARK) {
        take_mark(in, piece);
    } else {
        ++in->file.records;
        bool follows = segment->generation == 0 ? r->version == last + 1 : r->version > last;
        if (!follows)
            find_fault(in, "byte %" PRIu64 ": version %" PRIu64 " follows version %" PRIu64,
                       piece->offset, r->version, last);
        segment->counts.chain = cairn_chain_next(&segment->counts.chain, r);
    }
}

static void take_damaged(inspection_t *in, const cairn_survey_piece_t *piece)
{
    ++in->file.damaged;
    in->is_broken = true;
    find_fault(in, "byte %" PRIu64 " to %" PRIu64 ": %s", piece->offset, piece->end,
               state_of(piece));
}

bool cairn_verify_tell_progress(void *ctx, uint64_t bytes)
{
    cairn_verify_t *v = ctx;
    const cairn_verify_options_t *options = v->options;
    v->bytes_done += bytes;
    if (options->on_progress != NULL &&
        !options->on_progress(options->ctx, v->bytes_done, v->bytes_total))
        v->is_cancelled = true;
    return !v->is_cancelled;
}

static void tell_progress(inspection_t *in, uint64_t at)
{
    uint64_t bytes = at - in->told;
    in->told = at;
    uint64_t left = in->segment != NULL && in->segment->bytes > at ? in->segment->bytes - at : 0;
    if (left != 0)
        cairn_os->will_need(in->segment->map + at, left < AHEAD_BYTES ? left : AHEAD_BYTES);
    cairn_verify_tell_progress(in->verify, bytes);
}

/** looks at all records up to `end` */
static void survey(inspection_t *in, uint64_t end)
{
    cairn_survey_t survey;
    cairn_survey_piece_t piece;
    cairn_survey_init(&survey, in->segment->map, end, in->segment->salt);
    tell_progress(in, 0);
    while (!in->verify->is_cancelled && cairn_survey_next(&survey, &piece)) {
        tell_record(in, &piece);
        if (piece.kind == CAIRN_SURVEY_WHOLE && cairn_record_is_data(piece.record))
            cairn_verify_note_lost(in->verify, piece.record);
        if (piece.kind != CAIRN_SURVEY_WHOLE)
            take_damaged(in, &piece);
        else if (in->is_broken)
            in->file.records += cairn_record_is_data(piece.record);
        else
            take_whole(in, &piece);
        if (survey.at - in->told >= AHEAD_BYTES)
            tell_progress(in, survey.at);
    }
}

/* ---------------------------------------------------------------- one file */

/** a sealed file: all that its footer says must be so */
static void inspect_sealed(inspection_t *in, const cairn_segment_footer_t *footer)
{
    cairn_segment_t *segment = in->segment;
    in->file.verdict = "clean";
    segment->counts.last_version = footer->first_version - 1;
    if (segment->generation != 0) {
        segment->first_version = footer->first_version;
        segment->counts.chain = footer->counts.chain;
    }
    survey(in, footer->end);
    if (segment->generation == 0 && !in->is_broken && !in->has_link)
        find_fault(in, "it does not begin with a LINK");
    if (segment->generation != 0) { /* of the log, of which records are gone */
        segment->counts.chain = footer->counts.chain;
        segment->counts.last_version = footer->counts.last_version;
    }
    if (!in->is_broken && !in->verify->is_cancelled &&
        (memcmp(&footer->counts, &segment->counts, sizeof(footer->counts)) != 0 ||
         footer->first_version != segment->first_version))
        find_fault(in, "its records are not those that its footer counts");
    segment->first_version = footer->first_version;
    segment->counts = footer->counts;
    segment->counts.last_version = footer->range_last;
    atomic_store_explicit(&segment->end, footer->end, memory_order_relaxed);
}

/** the file that was written last, or one that was not sealed in time: it may end torn */
static void inspect_open(inspection_t *in)
{
    cairn_segment_t *segment = in->segment;
    cairn_scan_t scan;
    cairn_scan_unit_t unit;
    uint64_t proven;
    cairn_scan_init(&scan, segment->map, segment->bytes, segment->salt,
                    in->verify->place.last_version);
    while (cairn_scan_next(&scan, &unit))
        ;
    cairn_scan_end_t end = cairn_scan_end(&scan, &proven);
    if (!scan.has_link && end != CAIRN_SCAN_CORRUPT) {
        in->file.verdict = "unused";
        tell_progress(in, segment->bytes);
        return;
    }
    in->file.verdict = end == CAIRN_SCAN_CLEAN     ? "clean"
                       : end == CAIRN_SCAN_SUSPECT ? "suspect"
                                                   : "torn";
    segment->counts.last_version = in->verify->place.last_version;
    survey(in, end == CAIRN_SCAN_CORRUPT ? segment->bytes : scan.at);
    if (end == CAIRN_SCAN_CORRUPT)
        find_fault(in, "damaged at byte %" PRIu64 ", after version %" PRIu64, scan.at,
                   scan.last_version);
    atomic_store_explicit(&segment->end, scan.at, memory_order_relaxed);
}

static void inspect(inspection_t *in, const cairn_segment_open_t *opened)
{
    cairn_segment_t *segment = in->segment;
    if (opened->is_sealed) {
        inspect_sealed(in, &opened->footer);
    } else if (segment->bytes < segment->bytes_made) {
        survey(in, segment->bytes);
        find_fault(in,
                   "it has %" PRIu64 " bytes, was made with %" PRIu64
                   " and has no valid footer: its end is lost or damaged",
                   segment->bytes, segment->bytes_made);
    } else {
        inspect_open(in);
    }
}

/* ---------------------------------------------------------------- how the files fit together */

/** whether the segment continues the one before it */
static void check_place(inspection_t *in)
{
    const cairn_verify_place_t *place = &in->verify->place;
    const cairn_segment_t *segment = in->segment;
    const cairn_link_t *link = &in->link;
    uint64_t expected = place->last_version + 1;
    if (segment->first_version != expected)
        find_fault(in,
                   "it begins at version %" PRIu64 ", but what there is before it ends at "
                   "%" PRIu64 ": a segment is missing, or the end of one is lost",
                   segment->first_version, place->last_version);
    if (!in->has_link || !place->is_known || in->is_broken)
        return;
    bool fits = memcmp(&link->chain, &place->chain, sizeof(link->chain)) == 0;
    if (place->generation == 0)
        fits = fits && (place->first_version == 0 ? link->previous_first == 0
                                                  : link->previous_end == place->end &&
                                                        link->previous_salt == place->salt);
    if (!fits)
        find_fault(in, "it does not continue the segment before it: files of different stores or "
                       "times are mixed");
}

static void take_place(inspection_t *in)
{
    const cairn_segment_t *segment = in->segment;
    in->verify->place =
        (cairn_verify_place_t){.last_version = segment->counts.last_version,
                               .first_version = segment->first_version,
                               .end = atomic_load_explicit(&segment->end, memory_order_relaxed),
                               .salt = segment->salt,
                               .generation = segment->generation,
                               .chain = segment->counts.chain,
                               .is_known = in->file.problem == NULL};
}

void cairn_verify_count_file(cairn_verify_t *v, const cairn_verify_file_t *file)
{
    ++v->result->files;
    v->result->bad_files += file->problem != NULL;
    v->result->bad_aids += file->problem != NULL && file->is_aid;
    v->result->suspect_files += file->problem == NULL && strcmp(file->verdict, "suspect") == 0;
    v->result->bytes += file->bytes;
    v->result->records += file->records;
    v->result->damaged += file->damaged;
    v->result->last_version = v->place.last_version;
    if (v->options->on_file != NULL)
        v->options->on_file(v->options->ctx, file);
}

static void end_file(inspection_t *in, const cairn_verify_name_t *name)
{
    cairn_verify_t *v = in->verify;
    bool is_in_order = v->options->only == NULL;
    bool is_used = in->segment != NULL && strcmp(in->file.verdict, "unused") != 0;
    if (is_used) {
        in->file.first_version = in->segment->first_version;
        in->file.last_version = in->segment->counts.last_version;
        if (name->first_version != UINT64_MAX && name->first_version != in->file.first_version)
            find_fault(in, "its records begin at version %" PRIu64 ", its name says otherwise",
                       in->file.first_version);
    }
    /* a compacted one has taken its place, and it is still here for a checkpoint or a crash */
    const cairn_verify_place_t *place = &v->place;
    bool is_superseded = is_used && name->first_version <= place->last_version &&
                         in->segment->generation < place->generation;
    if (is_superseded) { /* nobody reads it any more: it may be what a salvage has replaced */
        in->file.verdict = "superseded";
        in->file.problem = NULL;
        in->file.damaged = 0;
    }
    if (is_used && is_in_order && !is_superseded) {
        check_place(in);
        take_place(in);
        cairn_lost_add(&v->result->damage, &in->segment->loss, in->file.first_version,
                       in->segment->generation);
    }
    cairn_verify_count_file(v, &in->file);
}

static cairn_err_t verify_segment(cairn_verify_t *v, const cairn_verify_name_t *name)
{
    inspection_t in = {
        .verify = v,
        .file = {.name = name->text, .kind = CAIRN_VERIFY_SEGMENT, .verdict = "clean"}};
    char errmsg[CAIRN_ERRMSG_BYTES];
    cairn_segment_open_t how = {.slot_of = NULL};
    cairn_err_t err = cairn_segment_open(&in.segment, v->space, &v->dir, name->text, &how, errmsg);
    in.file.bytes = cairn_segment_file_bytes(&v->dir, name->text);
    if (err == CAIRN_ERR_NOMEM || err == CAIRN_ERR_NO_FILES) {
        snprintf(v->errmsg, CAIRN_ERRMSG_BYTES, "%s", errmsg);
        return err;
    }
    if (err == CAIRN_OK) {
        inspect(&in, &how);
    } else if (name->first_version == UINT64_MAX) {
        in.file.verdict = "unused"; /* a spare that was cut short while it was made */
    } else {
        const char *said = strchr(errmsg, ' '); /* behind the name */
        find_fault(&in, "%.200s", said != NULL ? said + 1 : errmsg);
    }
    if (!v->is_cancelled) {
        end_file(&in, name);
        tell_progress(&in, in.file.bytes);
    }
    if (!v->is_cancelled && v->options->only == NULL && err == CAIRN_OK && how.is_sealed)
        err = cairn_verify_keytable(v, in.segment, &how.footer, in.is_broken);
    else
        err = CAIRN_OK;
    if (in.segment != NULL)
        cairn_segment_close(in.segment);
    return v->is_cancelled ? CAIRN_ERR_CANCELLED : err;
}

/** the first version of the newest segment there is, whether it has records or not */
static uint64_t newest_first(const cairn_verify_t *v)
{
    const cairn_verify_place_t *place = &v->place;
    uint64_t newest = place->generation != 0 ? place->last_version : place->first_version;
    for (size_t i = 0; i < v->count; ++i)
        if (v->names[i].first_version != UINT64_MAX && v->names[i].first_version > newest)
            newest = v->names[i].first_version;
    return newest;
}

/** whether the log reaches as far as STORE knows */
static cairn_err_t check_against_store(cairn_verify_t *v)
{
    if (v->dir.newest_first > newest_first(v)) {
        snprintf(v->errmsg, CAIRN_ERRMSG_BYTES,
                 "the log ends at version %" PRIu64 ", but it went on in %016" PRIx64
                 "-0000.seg (STORE says so), which is lost",
                 v->place.last_version, v->dir.newest_first);
        return CAIRN_ERR_CORRUPT;
    }
    if (v->place.last_version >= v->dir.durable_version)
        return CAIRN_OK;
    snprintf(v->errmsg, CAIRN_ERRMSG_BYTES,
             "the log ends at version %" PRIu64 ", but %" PRIu64
             " was on disk (STORE says so): the newest segment is lost or cut",
             v->place.last_version, v->dir.durable_version);
    return CAIRN_ERR_CORRUPT;
}

static cairn_err_t verify_all(cairn_verify_t *v)
{
    bool is_found = v->options->only == NULL;
    cairn_err_t err = CAIRN_OK;
    for (size_t i = 0; i < v->count && err == CAIRN_OK; ++i) {
        if (v->options->only != NULL && strcmp(v->options->only, v->names[i].text) != 0)
            continue;
        is_found = true;
        err = verify_segment(v, &v->names[i]);
    }
    if (err != CAIRN_OK)
        return err;
    if (!is_found) {
        snprintf(v->errmsg, CAIRN_ERRMSG_BYTES, "there is no segment %s", v->options->only);
        return CAIRN_ERR_NOT_FOUND;
    }
    if (v->options->only == NULL)
        err = cairn_verify_aids(v);
    if (err == CAIRN_OK && v->options->only == NULL)
        err = check_against_store(v);
    if (err == CAIRN_ERR_CANCELLED)
        return err;
    return v->result->bad_files != 0 ? CAIRN_ERR_CORRUPT : err;
}

/* ---------------------------------------------------------------- the store */

static bool is_segment(void *ctx, const char *name)
{
    uint64_t first;
    uint32_t generation;
    bool *found = ctx;
    *found = *found || cairn_segment_name_parse(name, &first, &generation);
    return !*found;
}

/** a directory that is none of ours is not made one */
static bool is_store(const char *path)
{
    bool found = false;
    int dir = cairn_os->open_dir(path, false);
    if (dir < 0)
        return false;
    int fd = cairn_os->open(dir, "STORE", O_RDONLY);
    if (fd >= 0)
        cairn_os->close(fd);
    else
        cairn_os->list(dir, is_segment, &found);
    cairn_os->close(dir);
    return fd >= 0 || found;
}

cairn_err_t cairn_store_verify(const cairn_verify_options_t *options, cairn_verify_result_t *result,
                               char *errmsg)
{
    cairn_verify_t v = {
        .options = options, .result = result, .place = {.is_known = true}, .errmsg = errmsg};
    *result = (cairn_verify_result_t){.files = 0};
    errmsg[0] = '\0';
    if (!is_store(options->path)) {
        snprintf(errmsg, CAIRN_ERRMSG_BYTES, "%s: there is no store", options->path);
        return CAIRN_ERR_NOT_FOUND;
    }
    if (cairn_guard_install() < 0)
        return CAIRN_ERR_NOMEM;
    cairn_err_t err = cairn_dir_open(&v.dir, options->path, errmsg);
    if (err != CAIRN_OK)
        return err;
    result->damage.quarantined = cairn_quarantine_count(&v.dir);
    result->damage.accepted_versions = v.dir.accepted;
    err = list_names(&v);
    if (err == CAIRN_OK)
        err = verify_all(&v);
    cairn_verify_end_lost(&v);
    if (v.is_out_of_memory)
        err = CAIRN_ERR_NOMEM;
    if (v.space != NULL)
        cairn_space_destroy(v.space);
    cairn_os->free(v.names);
    cairn_dir_close(&v.dir);
    return err;
}
