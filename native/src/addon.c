/*
 * The relay as JavaScript sees it: src/relay/native-binding.ts has the types and says what each function does. One
 * `struct holder` an engine; nothing is shared between them, so that worker threads and several proxies can load this.
 */
#include <stdlib.h>

#include "addon.h"
#include "fan_out.h"

/* ---- an engine's life ---- */

void let_go(struct holder *holder) {
    if (--holder->owners > 0) return;
    free(holder->slabs);
    free(holder->records);
    free(holder);
}

static void stop(struct holder *holder) {
    if (holder->engine == NULL) return;
    relay_close(holder->engine);
    holder->engine = NULL;
}

/* The environment ends (process.exit, a worker's end): threads must not outlive it. */
static void on_environment_end(void *data) {
    struct holder *holder = data;
    stop(holder);
    /* Node takes wake_up down by itself. */
    holder->wake_up = NULL;
    let_go(holder);
}

static void close_holder(napi_env env, struct holder *holder) {
    if (holder->engine == NULL) return;
    stop(holder);
    for (size_t i = 0; i < holder->slab_count; i++) napi_delete_reference(env, holder->slabs[i]);
    holder->slab_count = 0;
    napi_delete_reference(env, holder->on_ended);
    napi_release_threadsafe_function(holder->wake_up, napi_tsfn_abort);
    napi_remove_env_cleanup_hook(env, on_environment_end, holder);
    let_go(holder);
}

static void on_collected(napi_env env, void *data, void *hint) {
    (void)hint;
    close_holder(env, data);
    let_go(data);
}

static void on_wake_up_gone(napi_env env, void *data, void *hint) {
    (void)env, (void)hint;
    let_go(data);
}

/* On a relay thread. */
static void tell_ended(void *context) {
    struct holder *holder = context;
    napi_call_threadsafe_function(holder->wake_up, NULL, napi_tsfn_nonblocking);
}

/* On JavaScript's thread. */
static void call_on_ended(napi_env env, napi_value unused, void *context, void *data) {
    (void)unused, (void)data;
    struct holder *holder = context;
    if (env == NULL || holder->engine == NULL) return;
    napi_value callback, receiver, result;
    if (napi_get_reference_value(env, holder->on_ended, &callback) != napi_ok || callback == NULL) return;
    if (napi_get_undefined(env, &receiver) != napi_ok) return;
    if (napi_call_function(env, receiver, callback, 0, NULL, &result) != napi_pending_exception) return;
    throw_uncaught(env);
}

static napi_value open_engine(napi_env env, napi_callback_info info) {
    napi_value arguments[3], name, handle;
    uint32_t threads;
    if (!read_arguments(env, info, 3, arguments)) return NULL;
    TRY(napi_get_value_uint32(env, arguments[0], &threads));
    struct holder *holder = calloc(1, sizeof *holder);
    if (holder == NULL) return fail(env, "tidegate: out of memory");
    if (napi_get_value_uint32(env, arguments[1], &holder->slab_slots) != napi_ok || holder->slab_slots == 0 ||
        (holder->engine = relay_open(threads, tell_ended, holder)) == NULL) {
        free(holder);
        return fail(env, "tidegate: the engine cannot be made");
    }
    holder->owners = 3;
    TRY(napi_create_reference(env, arguments[2], 0, &holder->on_ended));
    TRY(napi_create_string_utf8(env, "tidegate relay", NAPI_AUTO_LENGTH, &name));
    TRY(napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, holder, on_wake_up_gone, holder, call_on_ended,
                                        &holder->wake_up));
    TRY(napi_unref_threadsafe_function(env, holder->wake_up));
    /* After the function above, because hooks run in reverse: the threads end before what they call. */
    TRY(napi_add_env_cleanup_hook(env, on_environment_end, holder));
    TRY(napi_create_external(env, holder, on_collected, NULL, &handle));
    return handle;
}

struct holder *read_holder(napi_env env, napi_value value) {
    struct holder *holder;
    if (napi_get_value_external(env, value, (void **)&holder) != napi_ok) {
        fail(env, "tidegate: not an engine");
        return NULL;
    }
    if (holder->engine != NULL) return holder;
    fail(env, "tidegate: the engine is closed");
    return NULL;
}

static napi_value close_engine(napi_env env, napi_callback_info info) {
    napi_value arguments[1];
    struct holder *holder;
    if (!read_arguments(env, info, 1, arguments)) return NULL;
    TRY(napi_get_value_external(env, arguments[0], (void **)&holder));
    close_holder(env, holder);
    return NULL;
}

/* ---- tunnels ---- */

/* JavaScript made the memory, and this reference keeps it: records of slots that follow on the earlier ones. */
static napi_value add_slab(napi_env env, napi_callback_info info) {
    napi_value arguments[2];
    void *memory;
    size_t length, count;
    if (!read_arguments(env, info, 2, arguments)) return NULL;
    struct holder *holder = read_holder(env, arguments[0]);
    if (holder == NULL) return NULL;
    TRY(napi_get_arraybuffer_info(env, arguments[1], &memory, &length));
    if (length != holder->slab_slots * sizeof(struct relay_record)) return fail(env, "tidegate: a slab of wrong size");
    count = holder->slab_count + 1;
    napi_ref *slabs = realloc(holder->slabs, count * sizeof *slabs);
    if (slabs != NULL) holder->slabs = slabs;
    struct relay_record **records = realloc(holder->records, count * sizeof *records);
    if (records != NULL) holder->records = records;
    if (slabs == NULL || records == NULL) return fail(env, "tidegate: out of memory");
    TRY(napi_create_reference(env, arguments[1], 1, &slabs[count - 1]));
    records[count - 1] = memory;
    holder->slab_count = count;
    return NULL;
}

bool complete_join(napi_env env, const struct holder *holder, struct relay_join *join, uint32_t framing,
                   size_t answer_length) {
    size_t slab = join->slot / holder->slab_slots;
    if (slab >= holder->slab_count) fail(env, "tidegate: a slot without a slab");
    else if (framing > FRAMING_HIXIE || answer_length > join->first_lengths[CLIENT]) fail(env, "tidegate: bad join");
    else {
        join->record = &holder->records[slab][join->slot % holder->slab_slots];
        join->framing = (enum framing)framing;
        join->answer_length = answer_length;
        join->limits = holder->limits;
        return true;
    }
    return false;
}

int start_tunnel(napi_env env, struct holder *holder, const struct relay_join *join) {
    int error = relay_join(holder->engine, join);
    if (error != 0 || holder->open_tunnels++ > 0) return error;
    /* As sockets would, open tunnels keep the process running. */
    if (napi_reference_ref(env, holder->on_ended, NULL) != napi_ok ||
        napi_ref_threadsafe_function(env, holder->wake_up) != napi_ok) {
        fail(env, "tidegate: the process may end before the tunnel");
    }
    return 0;
}

static napi_value join(napi_env env, napi_callback_info info) {
    napi_value arguments[11];
    struct relay_join join = {0};
    uint32_t framing, answer_length;
    if (!read_arguments(env, info, 11, arguments)) return NULL;
    struct holder *holder = read_holder(env, arguments[0]);
    if (holder == NULL) return NULL;
    TRY(napi_get_value_uint32(env, arguments[1], &join.slot));
    TRY(napi_get_value_int32(env, arguments[2], &join.fds[CLIENT]));
    TRY(napi_get_value_int32(env, arguments[3], &join.fds[UPSTREAM]));
    TRY(read_bytes(env, arguments[4], &join.first_bytes[CLIENT], &join.first_lengths[CLIENT]));
    TRY(napi_get_value_uint32(env, arguments[5], &answer_length));
    TRY(read_bytes(env, arguments[6], &join.first_bytes[UPSTREAM], &join.first_lengths[UPSTREAM]));
    TRY(napi_get_value_uint32(env, arguments[7], &framing));
    TRY(napi_get_value_int64(env, arguments[8], &join.idle_timeout_ms));
    TRY(napi_get_value_int64(env, arguments[9], &join.half_close_timeout_ms));
    TRY(napi_get_value_int64(env, arguments[10], &join.max_age_ms));
    if (!complete_join(env, holder, &join, framing, answer_length)) return NULL;
    return make_number(env, start_tunnel(env, holder, &join));
}

/* Close timeout; then of either side: message bytes, messages a second, bytes a second. */
static napi_value set_limits(napi_env env, napi_callback_info info) {
    napi_value arguments[2];
    size_t length;
    void *memory;
    if (!read_arguments(env, info, 2, arguments)) return NULL;
    struct holder *holder = read_holder(env, arguments[0]);
    if (holder == NULL) return NULL;
    TRY(read_array(env, arguments[1], napi_float64_array, &memory, &length));
    if (length != 7) return fail(env, "tidegate: limits are a Float64Array of 7");
    const double *limits = memory;
    holder->limits.close_timeout_ms = (int64_t)limits[0];
    for (int name = CLIENT; name <= UPSTREAM; name++) {
        const double *of_side = limits + 1 + 3 * name;
        holder->limits.max_message_bytes[name] = of_side[0];
        holder->limits.max_messages_per_second[name] = of_side[1];
        holder->limits.max_bytes_per_second[name] = of_side[2];
    }
    return NULL;
}

static napi_value take_ended(napi_env env, napi_callback_info info) {
    napi_value arguments[3];
    size_t length, reason_bytes;
    void *slots, *reasons;
    if (!read_arguments(env, info, 3, arguments)) return NULL;
    struct holder *holder = read_holder(env, arguments[0]);
    if (holder == NULL) return NULL;
    TRY(read_array(env, arguments[1], napi_uint32_array, &slots, &length));
    TRY(read_array(env, arguments[2], napi_uint8_array, &reasons, &reason_bytes));
    if (reason_bytes != length * 2 * sizeof(struct close_reason)) return fail(env, "tidegate: bad room for reasons");
    size_t count = relay_take_ended(holder->engine, slots, reasons, length);
    holder->open_tunnels -= (unsigned)count;
    if (count > 0 && holder->open_tunnels == 0) {
        TRY(napi_unref_threadsafe_function(env, holder->wake_up));
        TRY(napi_reference_unref(env, holder->on_ended, NULL));
    }
    return make_number(env, (int64_t)count);
}

static napi_value cut(napi_env env, napi_callback_info info) {
    napi_value arguments[2];
    uint32_t slot;
    if (!read_arguments(env, info, 2, arguments)) return NULL;
    struct holder *holder = read_holder(env, arguments[0]);
    if (holder == NULL) return NULL;
    TRY(napi_get_value_uint32(env, arguments[1], &slot));
    relay_cut(holder->engine, slot);
    return NULL;
}

static napi_value inject(napi_env env, napi_callback_info info) {
    napi_value arguments[5];
    uint32_t slot, towards, kind;
    const uint8_t *frame;
    size_t length;
    if (!read_arguments(env, info, 5, arguments)) return NULL;
    struct holder *holder = read_holder(env, arguments[0]);
    if (holder == NULL) return NULL;
    TRY(napi_get_value_uint32(env, arguments[1], &slot));
    TRY(napi_get_value_uint32(env, arguments[2], &towards));
    TRY(napi_get_value_uint32(env, arguments[3], &kind));
    TRY(read_bytes(env, arguments[4], &frame, &length));
    if (towards > UPSTREAM || kind > INJECT_PING) return fail(env, "tidegate: bad injection");
    return make_number(env, relay_inject(holder->engine, slot, (enum side_name)towards, (enum injection_kind)kind,
                                         frame, length));
}

static napi_value pass_time(napi_env env, napi_callback_info info) {
    napi_value arguments[2];
    int64_t ms;
    if (!read_arguments(env, info, 2, arguments)) return NULL;
    struct holder *holder = read_holder(env, arguments[0]);
    if (holder == NULL) return NULL;
    TRY(napi_get_value_int64(env, arguments[1], &ms));
    relay_pass_time(holder->engine, ms);
    return NULL;
}

/* ---- what goes to many, of sockets that stay with Node ---- */

static napi_value send_to_all(napi_env env, napi_callback_info info) {
    napi_value arguments[3];
    size_t room, length;
    uint32_t count;
    void *fds;
    const uint8_t *bytes;
    if (!read_arguments(env, info, 3, arguments)) return NULL;
    TRY(read_array(env, arguments[0], napi_int32_array, &fds, &room));
    TRY(napi_get_value_uint32(env, arguments[1], &count));
    TRY(read_bytes(env, arguments[2], &bytes, &length));
    if (count > room) return fail(env, "tidegate: more descriptors than there are");
    return make_number(env, (int64_t)fan_out(fds, count, bytes, length));
}

/* ---- the scanner by itself, for the tests that hold it to its twin ---- */

/* A scanner, and the limits it looks at. */
struct lone_scanner {
    struct scanner scanner;
    struct message_limits limits;
};

static void free_scanner(napi_env env, void *data, void *hint) {
    (void)env, (void)hint;
    struct lone_scanner *lone = data;
    scanner_clear(&lone->scanner);
    free(lone);
}

static napi_value make_scanner(napi_env env, napi_callback_info info) {
    napi_value arguments[4], handle;
    uint32_t framing;
    bool from_client;
    double max_bytes, rate;
    if (!read_arguments(env, info, 4, arguments)) return NULL;
    TRY(napi_get_value_uint32(env, arguments[0], &framing));
    TRY(napi_get_value_bool(env, arguments[1], &from_client));
    if (framing > FRAMING_HIXIE) return fail(env, "tidegate: bad framing");
    TRY(napi_get_value_double(env, arguments[2], &max_bytes));
    TRY(napi_get_value_double(env, arguments[3], &rate));
    struct lone_scanner *lone = malloc(sizeof *lone);
    if (lone == NULL) return fail(env, "tidegate: out of memory");
    scanner_init(&lone->scanner, (enum framing)framing, from_client);
    message_limits_init(&lone->limits, max_bytes, rate);
    if (max_bytes > 0 || rate > 0) lone->scanner.limits = &lone->limits;
    TRY(napi_create_external(env, lone, free_scanner, NULL, &handle));
    return handle;
}

static napi_value push_scanner(napi_env env, napi_callback_info info) {
    napi_value arguments[4];
    struct lone_scanner *lone;
    const uint8_t *bytes;
    size_t length;
    bool to_boundary;
    if (!read_arguments(env, info, 4, arguments)) return NULL;
    TRY(napi_get_value_external(env, arguments[0], (void **)&lone));
    TRY(read_bytes(env, arguments[1], &bytes, &length));
    TRY(napi_get_value_bool(env, arguments[2], &to_boundary));
    TRY(napi_get_value_int64(env, arguments[3], &lone->limits.now_ms));
    return make_number(env, (int64_t)scanner_push(&lone->scanner, bytes, length, to_boundary));
}

/* Writes messages, close code, whether at a boundary, blind, breach and its header bytes, closed, open header bytes; and the reason. */
static napi_value read_scanner(napi_env env, napi_callback_info info) {
    napi_value arguments[3];
    struct lone_scanner *lone;
    size_t length, reason_bytes;
    void *memory, *reason;
    if (!read_arguments(env, info, 3, arguments)) return NULL;
    TRY(napi_get_value_external(env, arguments[0], (void **)&lone));
    TRY(read_array(env, arguments[1], napi_float64_array, &memory, &length));
    TRY(read_array(env, arguments[2], napi_uint8_array, &reason, &reason_bytes));
    if (length < 8 || reason_bytes != sizeof(struct close_reason)) return fail(env, "tidegate: bad room for facts");
    const struct scanner *scanner = &lone->scanner;
    double *facts = memory;
    facts[0] = (double)scanner->messages;
    facts[1] = scanner->close_code;
    facts[2] = scanner_at_boundary(scanner);
    facts[3] = scanner->blind;
    facts[4] = scanner->breach;
    facts[5] = scanner->breach_header_bytes;
    facts[6] = scanner->has_closed;
    facts[7] = (double)scanner_open_header_bytes(scanner);
    scanner_copy_reason(scanner, reason);
    return NULL;
}

NAPI_MODULE_INIT() {
    static const struct named_function functions[] = {
        {"open", open_engine}, {"close", close_engine},       {"addSlab", add_slab},
        {"join", join},        {"takeEnded", take_ended},     {"cut", cut},
        {"inject", inject},    {"passTime", pass_time},       {"makeScanner", make_scanner},
        {"pushScanner", push_scanner}, {"readScanner", read_scanner}, {"setLimits", set_limits},
        {"sendToAll", send_to_all},
    };
    if (!export_functions(env, exports, functions, sizeof functions / sizeof *functions)) return NULL;
    return export_doors(env, exports) ? exports : NULL;
}
