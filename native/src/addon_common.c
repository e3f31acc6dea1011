/* Reading and making JavaScript's values. */
#include "addon.h"

napi_value fail(napi_env env, const char *message) {
    bool is_pending = false;
    napi_is_exception_pending(env, &is_pending);
    if (!is_pending) napi_throw_error(env, NULL, message);
    return NULL;
}

bool read_arguments(napi_env env, napi_callback_info info, size_t wanted, napi_value *arguments) {
    size_t count = wanted;
    if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) == napi_ok && count >= wanted) return true;
    fail(env, "tidegate: arguments are missing");
    return false;
}

napi_value make_number(napi_env env, int64_t number) {
    napi_value value;
    TRY(napi_create_int64(env, number, &value));
    return value;
}

napi_status read_array(napi_env env, napi_value value, napi_typedarray_type wanted, void **memory, size_t *length) {
    napi_typedarray_type type;
    napi_value buffer;
    size_t offset;
    napi_status status = napi_get_typedarray_info(env, value, &type, length, memory, &buffer, &offset);
    return status == napi_ok && type != wanted ? napi_invalid_arg : status;
}

napi_status read_bytes(napi_env env, napi_value value, const uint8_t **bytes, size_t *length) {
    void *memory = NULL;
    napi_status status = read_array(env, value, napi_uint8_array, &memory, length);
    *bytes = memory;
    return status;
}

void throw_uncaught(napi_env env) {
    napi_value thrown;
    if (napi_get_and_clear_last_exception(env, &thrown) == napi_ok) napi_fatal_exception(env, thrown);
}

bool export_functions(napi_env env, napi_value exports, const struct named_function *functions, size_t count) {
    for (size_t i = 0; i < count; i++) {
        napi_value function;
        if (napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].function, NULL, &function) ==
                napi_ok &&
            napi_set_named_property(env, exports, functions[i].name, function) == napi_ok) {
            continue;
        }
        fail(env, "tidegate: the functions cannot be made");
        return false;
    }
    return true;
}
