/*
 * The door as JavaScript sees it: its descriptor is watched by Node's loop, and what it tells goes to one callback. Every
 * function may be called from inside that callback, closeDoor too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "addon.h"
#include "door.h"

/* More is no address. */
#define MAX_HOST_BYTES 64

/* Shared by JavaScript's handle and the loop's; the last one frees it. */
struct doorway {
    napi_env env;
    /* NULL once closed. */
    struct door *door;
    /* The relay that visits go to. Its own door to JavaScript is kept, so that it is not collected while this is open. */
    struct holder *holder;
    napi_ref engine;
    napi_ref on_events, events, bytes;
    uv_poll_t poll;
    napi_async_cleanup_hook_handle hook;
    /* For strings on their way into a socket. */
    uint8_t *scratch;
    size_t scratch_capacity;
    int owners;
};

/* ---- its life ---- */

static void let_go_of_doorway(struct doorway *doorway) {
    if (--doorway->owners > 0) return;
    free(doorway->scratch);
    free(doorway);
}

static void on_poll_closed(uv_handle_t *handle) {
    struct doorway *doorway = handle->data;
    napi_remove_async_cleanup_hook(doorway->hook);
    let_go_of_doorway(doorway);
}

static void close_doorway(struct doorway *doorway) {
    if (doorway->door == NULL) return;
    /* Before the descriptor that it watches. */
    uv_close((uv_handle_t *)&doorway->poll, on_poll_closed);
    door_close(doorway->door);
    doorway->door = NULL;
    napi_ref *references[] = {&doorway->engine, &doorway->on_events, &doorway->events, &doorway->bytes};
    for (size_t i = 0; i < sizeof references / sizeof *references; i++) {
        if (*references[i] != NULL) napi_delete_reference(doorway->env, *references[i]);
        *references[i] = NULL;
    }
    let_go(doorway->holder);
}

/* Node waits until on_poll_closed has removed the hook. */
static void on_environment_end(napi_async_cleanup_hook_handle hook, void *data) {
    (void)hook;
    close_doorway(data);
}

static void on_collected(napi_env env, void *data, void *hint) {
    (void)env, (void)hint;
    close_doorway(data);
    let_go_of_doorway(data);
}

/* As sockets would, a door that listens or has visits keeps the process running. */
static void keep_process(struct doorway *doorway) {
    if (doorway->door == NULL) return;
    if (door_is_busy(doorway->door)) uv_ref((uv_handle_t *)&doorway->poll);
    else uv_unref((uv_handle_t *)&doorway->poll);
}

/* ---- events ---- */

static void tell_events(struct doorway *doorway, size_t count) {
    napi_env env = doorway->env;
    napi_value receiver, callback, argument, result;
    /* While the environment ends, nobody is left to be told. */
    if (napi_get_global(env, &receiver) != napi_ok ||
        napi_get_reference_value(env, doorway->on_events, &callback) != napi_ok || callback == NULL ||
        napi_create_uint32(env, (uint32_t)count, &argument) != napi_ok) {
        return;
    }
    if (napi_make_callback(env, NULL, receiver, callback, 1, &argument, &result) == napi_pending_exception) {
        throw_uncaught(env);
    }
}

static void on_readable(uv_poll_t *poll, int status, int events) {
    (void)status, (void)events;
    struct doorway *doorway = poll->data;
    size_t count = door_turn(doorway->door);
    if (count > 0) {
        napi_handle_scope scope;
        if (napi_open_handle_scope(doorway->env, &scope) != napi_ok) return;
        tell_events(doorway, count);
        napi_close_handle_scope(doorway->env, scope);
    }
    /* JavaScript may have closed it; the memory lives until on_poll_closed. */
    if (doorway->door == NULL) return;
    door_settle(doorway->door);
    keep_process(doorway);
}

/* ---- opening and closing ---- */

/* Has the loop watch the door. From here on the loop's handle is an owner, and only uv_close ends that. */
static bool watch_door(struct doorway *doorway) {
    uv_loop_t *loop;
    if (napi_get_uv_event_loop(doorway->env, &loop) != napi_ok) return false;
    if (uv_poll_init(loop, &doorway->poll, door_descriptor(doorway->door)) != 0) return false;
    doorway->poll.data = doorway;
    doorway->owners++;
    uv_unref((uv_handle_t *)&doorway->poll);
    return true;
}

static struct doorway *make_doorway(napi_env env, struct holder *holder, void *events, size_t words, uint8_t *bytes,
                                    size_t capacity) {
    struct doorway *doorway = calloc(1, sizeof *doorway);
    if (doorway == NULL) return NULL;
    doorway->env = env;
    doorway->owners = 1;
    doorway->door = door_open(events, words * sizeof(int32_t) / sizeof(struct door_event), bytes, capacity);
    if (doorway->door != NULL && watch_door(doorway)) {
        doorway->holder = holder;
        holder->owners++;
        return doorway;
    }
    if (doorway->door != NULL) door_close(doorway->door);
    free(doorway);
    return NULL;
}

static bool set_up_doorway(napi_env env, struct doorway *doorway, const napi_value *arguments) {
    return napi_create_reference(env, arguments[0], 1, &doorway->engine) == napi_ok &&
           napi_create_reference(env, arguments[1], 1, &doorway->events) == napi_ok &&
           napi_create_reference(env, arguments[2], 1, &doorway->bytes) == napi_ok &&
           napi_create_reference(env, arguments[3], 1, &doorway->on_events) == napi_ok &&
           uv_poll_start(&doorway->poll, UV_READABLE, on_readable) == 0;
}

static napi_value open_door(napi_env env, napi_callback_info info) {
    napi_value arguments[4], handle;
    size_t words, capacity;
    void *events;
    const uint8_t *bytes;
    if (!read_arguments(env, info, 4, arguments)) return NULL;
    struct holder *holder = read_holder(env, arguments[0]);
    if (holder == NULL) return NULL;
    if (read_array(env, arguments[1], napi_int32_array, &events, &words) != napi_ok) {
        return fail(env, "tidegate: events are an Int32Array");
    }
    TRY(read_bytes(env, arguments[2], &bytes, &capacity));
    struct doorway *doorway = make_doorway(env, holder, events, words, (uint8_t *)bytes, capacity);
    if (doorway == NULL) return fail(env, "tidegate: the door cannot be made");
    /* First of all, because on_poll_closed removes it. */
    if (napi_add_async_cleanup_hook(env, on_environment_end, doorway, &doorway->hook) != napi_ok) {
        napi_fatal_error("tidegate", NAPI_AUTO_LENGTH, "out of memory", NAPI_AUTO_LENGTH);
    }
    if (set_up_doorway(env, doorway, arguments) &&
        napi_create_external(env, doorway, on_collected, NULL, &handle) == napi_ok) {
        return handle;
    }
    close_doorway(doorway);
    let_go_of_doorway(doorway);
    return fail(env, "tidegate: the door cannot be made");
}

static struct doorway *read_doorway(napi_env env, napi_value value) {
    struct doorway *doorway;
    if (napi_get_value_external(env, value, (void **)&doorway) == napi_ok) return doorway;
    fail(env, "tidegate: not a door");
    return NULL;
}

static napi_value close_door(napi_env env, napi_callback_info info) {
    napi_value arguments[1];
    if (!read_arguments(env, info, 1, arguments)) return NULL;
    struct doorway *doorway = read_doorway(env, arguments[0]);
    if (doorway != NULL) close_doorway(doorway);
    return NULL;
}

/* ---- listeners ---- */

static napi_value listen_at(napi_env env, napi_callback_info info) {
    napi_value arguments[3];
    int32_t fd;
    uint32_t listener;
    if (!read_arguments(env, info, 3, arguments)) return NULL;
    struct doorway *doorway = read_doorway(env, arguments[0]);
    if (doorway == NULL) return NULL;
    TRY(napi_get_value_int32(env, arguments[1], &fd));
    TRY(napi_get_value_uint32(env, arguments[2], &listener));
    int error = doorway->door == NULL ? EBADF : door_listen(doorway->door, fd, listener);
    keep_process(doorway);
    return make_number(env, error);
}

static napi_value unlisten(napi_env env, napi_callback_info info) {
    napi_value arguments[2];
    uint32_t listener;
    if (!read_arguments(env, info, 2, arguments)) return NULL;
    struct doorway *doorway = read_doorway(env, arguments[0]);
    if (doorway == NULL) return NULL;
    TRY(napi_get_value_uint32(env, arguments[1], &listener));
    if (doorway->door != NULL) door_unlisten(doorway->door, listener);
    keep_process(doorway);
    return NULL;
}

/* ---- visits ---- */

/* Reads a latin1 string into the scratch memory, with room for `extra` bytes behind it. */
static bool read_text(struct doorway *doorway, napi_value value, size_t *length, size_t extra) {
    napi_env env = doorway->env;
    if (napi_get_value_string_latin1(env, value, NULL, 0, length) != napi_ok) {
        fail(env, "tidegate: not a string");
        return false;
    }
    /* With its end. */
    size_t needed = *length + 1 + extra;
    if (needed > doorway->scratch_capacity) {
        uint8_t *scratch = realloc(doorway->scratch, needed);
        if (scratch == NULL) {
            fail(env, "tidegate: out of memory");
            return false;
        }
        doorway->scratch = scratch;
        doorway->scratch_capacity = needed;
    }
    return napi_get_value_string_latin1(env, value, (char *)doorway->scratch, *length + 1, length) == napi_ok;
}

/* NULL when there is none such, or something is thrown. A closed door has no visits: `*visit` becomes 0, which is none. */
static struct doorway *read_visit(napi_env env, const napi_value *arguments, uint32_t *visit) {
    struct doorway *doorway = read_doorway(env, arguments[0]);
    if (doorway == NULL) return NULL;
    if (napi_get_value_uint32(env, arguments[1], visit) == napi_ok) return doorway;
    fail(env, "tidegate: a visit is a number");
    return NULL;
}

static napi_value dial(napi_env env, napi_callback_info info) {
    napi_value arguments[5];
    char host[MAX_HOST_BYTES];
    uint32_t visit, port;
    size_t length;
    if (!read_arguments(env, info, 5, arguments)) return NULL;
    struct doorway *doorway = read_visit(env, arguments, &visit);
    if (doorway == NULL) return NULL;
    TRY(napi_get_value_string_latin1(env, arguments[2], host, sizeof host, &length));
    TRY(napi_get_value_uint32(env, arguments[3], &port));
    /* What does not fit is cut off: no address may begin like that. */
    if (length == sizeof host - 1 || strlen(host) != length) host[0] = '\0';
    if (!read_text(doorway, arguments[4], &length, 0)) return NULL;
    int error = doorway->door == NULL ? ESRCH : door_dial(doorway->door, visit, host, port, doorway->scratch, length);
    return make_number(env, error);
}

static napi_value is_connecting(napi_env env, napi_callback_info info) {
    napi_value arguments[2], answer;
    uint32_t visit;
    if (!read_arguments(env, info, 2, arguments)) return NULL;
    struct doorway *doorway = read_visit(env, arguments, &visit);
    if (doorway == NULL) return NULL;
    TRY(napi_get_boolean(env, doorway->door != NULL && door_is_connecting(doorway->door, visit), &answer));
    return answer;
}

static napi_value hang_up(napi_env env, napi_callback_info info) {
    napi_value arguments[2];
    uint32_t visit;
    if (!read_arguments(env, info, 2, arguments)) return NULL;
    struct doorway *doorway = read_visit(env, arguments, &visit);
    if (doorway != NULL && doorway->door != NULL) door_hang_up(doorway->door, visit);
    return NULL;
}

static napi_value send_text(napi_env env, napi_callback_info info) {
    napi_value arguments[3];
    uint32_t visit;
    size_t length;
    if (!read_arguments(env, info, 3, arguments)) return NULL;
    struct doorway *doorway = read_visit(env, arguments, &visit);
    if (doorway == NULL || !read_text(doorway, arguments[2], &length, 0)) return NULL;
    int error = doorway->door == NULL ? ESRCH : door_send(doorway->door, visit, doorway->scratch, length);
    return make_number(env, error);
}

struct tunnel_start {
    napi_env env;
    struct holder *holder;
    struct relay_join join;
};

static int start(void *context, const int fds[2]) {
    struct tunnel_start *tunnel = context;
    memcpy(tunnel->join.fds, fds, sizeof tunnel->join.fds);
    return start_tunnel(tunnel->env, tunnel->holder, &tunnel->join);
}

static napi_value join_visit(napi_env env, napi_callback_info info) {
    napi_value arguments[10];
    uint32_t visit, framing;
    const uint8_t *early;
    size_t answer_length, early_length;
    struct tunnel_start tunnel = {.env = env, .join.takes_over = true};
    struct relay_join *join = &tunnel.join;
    if (!read_arguments(env, info, 10, arguments)) return NULL;
    struct doorway *doorway = read_visit(env, arguments, &visit);
    if (doorway == NULL) return NULL;
    TRY(napi_get_value_uint32(env, arguments[2], &join->slot));
    TRY(read_bytes(env, arguments[4], &early, &early_length));
    TRY(read_bytes(env, arguments[5], &join->first_bytes[UPSTREAM], &join->first_lengths[UPSTREAM]));
    TRY(napi_get_value_uint32(env, arguments[6], &framing));
    TRY(napi_get_value_int64(env, arguments[7], &join->idle_timeout_ms));
    TRY(napi_get_value_int64(env, arguments[8], &join->half_close_timeout_ms));
    TRY(napi_get_value_int64(env, arguments[9], &join->max_age_ms));
    if (doorway->door == NULL) return make_number(env, ESRCH);
    tunnel.holder = doorway->holder;
    if (tunnel.holder->engine == NULL) return make_number(env, ESHUTDOWN);
    if (!read_text(doorway, arguments[3], &answer_length, early_length)) return NULL;
    if (early_length > 0) memcpy(doorway->scratch + answer_length, early, early_length);
    join->first_bytes[CLIENT] = doorway->scratch;
    join->first_lengths[CLIENT] = answer_length + early_length;
    if (!complete_join(env, tunnel.holder, join, framing, answer_length)) return NULL;
    int error = door_hand_over(doorway->door, visit, start, &tunnel);
    keep_process(doorway);
    return make_number(env, error);
}

static napi_value take(napi_env env, napi_callback_info info) {
    napi_value arguments[3];
    uint32_t visit;
    size_t length;
    void *memory;
    if (!read_arguments(env, info, 3, arguments)) return NULL;
    struct doorway *doorway = read_visit(env, arguments, &visit);
    if (doorway == NULL) return NULL;
    TRY(read_array(env, arguments[2], napi_int32_array, &memory, &length));
    if (length < 2) return fail(env, "tidegate: descriptors are an Int32Array of 2");
    int fds[2] = {-1, -1};
    if (doorway->door != NULL) door_take(doorway->door, visit, fds);
    int32_t *words = memory;
    words[CLIENT] = fds[CLIENT];
    words[UPSTREAM] = fds[UPSTREAM];
    keep_process(doorway);
    return NULL;
}

static napi_value cut_visit(napi_env env, napi_callback_info info) {
    napi_value arguments[2];
    uint32_t visit;
    if (!read_arguments(env, info, 2, arguments)) return NULL;
    struct doorway *doorway = read_visit(env, arguments, &visit);
    if (doorway == NULL) return NULL;
    if (doorway->door != NULL) door_cut(doorway->door, visit);
    keep_process(doorway);
    return NULL;
}

bool export_doors(napi_env env, napi_value exports) {
    static const struct named_function functions[] = {
        {"openDoor", open_door}, {"closeDoor", close_door}, {"doorListen", listen_at}, {"doorUnlisten", unlisten},
        {"doorDial", dial},      {"doorIsConnecting", is_connecting},
        {"doorHangUp", hang_up}, {"doorSend", send_text},   {"doorJoin", join_visit},  {"doorTake", take},
        {"doorCut", cut_visit},
    };
    return export_functions(env, exports, functions, sizeof functions / sizeof *functions);
}
