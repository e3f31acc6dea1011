/* What the files that speak with JavaScript share. */
#ifndef TIDEGATE_ADDON_H
#define TIDEGATE_ADDON_H

#define NAPI_VERSION 8
#include <node_api.h>

#include "relay.h"

#define TRY(call)                                                  \
    do {                                                           \
        if ((call) != napi_ok) return fail(env, "tidegate: " #call); \
    } while (0)

/* Shared by JavaScript's handle, the way back from the threads, the environment's end, and doors; the last one frees it. */
struct holder {
    /* NULL once closed. */
    struct relay_engine *engine;
    napi_threadsafe_function wake_up;
    /* Strong while tunnels are open; weak otherwise, so that an engine without tunnels can be collected. */
    napi_ref on_ended;
    napi_ref *slabs;
    struct relay_record **records;
    size_t slab_count;
    uint32_t slab_slots;
    /* Of the tunnels that are joined next. */
    struct relay_limits limits;
    unsigned open_tunnels;
    int owners;
};

/* addon_common.c */
/* Throws, unless something is thrown already. Returns NULL. */
napi_value fail(napi_env env, const char *message);
bool read_arguments(napi_env env, napi_callback_info info, size_t wanted, napi_value *arguments);
napi_value make_number(napi_env env, int64_t number);
/* The memory of a typed array of this type, and how many elements it has. */
napi_status read_array(napi_env env, napi_value value, napi_typedarray_type wanted, void **memory, size_t *length);
napi_status read_bytes(napi_env env, napi_value value, const uint8_t **bytes, size_t *length);
/* What a callback has thrown becomes an uncaught exception. */
void throw_uncaught(napi_env env);

struct named_function {
    const char *name;
    napi_callback function;
};
bool export_functions(napi_env env, napi_value exports, const struct named_function *functions, size_t count);

/* addon.c */
/* NULL, with something thrown, when it is no engine or a closed one. */
struct holder *read_holder(napi_env env, napi_value value);
void let_go(struct holder *holder);
/* Fills in what follows from the slot and from these numbers. False, with something thrown, when they are wrong. */
bool complete_join(napi_env env, const struct holder *holder, struct relay_join *join, uint32_t framing,
                   size_t answer_length);
/* 0 or an errno. */
int start_tunnel(napi_env env, struct holder *holder, const struct relay_join *join);

/* addon_door.c */
bool export_doors(napi_env env, napi_value exports);

#endif
