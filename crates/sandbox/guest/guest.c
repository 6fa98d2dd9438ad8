// The JavaScript engine as a Wasm module with one import: `libos.syscall`.
//
// Owns the engine's one context and the loop that runs a tool: promise jobs first, and when none
// is left, one batch of the calls that were queued. Everything a tool sees is made by the runtime
// in JavaScript, which the host hands over once, before it takes the snapshot. It must never trust
// that runtime for anything but convenience: a tool shares its realm.
//
// Texts cross as (pointer, bytes). What is returned is `pointer << 32 | bytes` of a JSON envelope;
// each text that the host hands over was allocated by `libos_alloc` and lies before a NUL.
#include <stdlib.h>
#include <string.h>

#include "engine.h"

#define EXPORT(name) __attribute__((export_name(name), used))
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

// The part of the linear stack (1 MiB, see the linker's arguments) that scripts may use.
#define SCRIPT_STACK (768 * 1024)

__attribute__((import_module("libos"), import_name("syscall"))) extern uint64_t
libos_syscall(const char *request, uint32_t bytes);

extern size_t malloc_usable_size(void *);

static JSRuntime *runtime;
static JSContext *context;
static JSValue driver; // what the runtime in JavaScript gave back
static JSValue wanted = JS_UNDEFINED; // the name of a module that was asked for

// ---- Memory -------------------------------------------------------------------------------------

EXPORT("libos_alloc") void *libos_alloc(uint32_t bytes) {
  char *text = malloc((size_t)bytes + 1);
  if (text) text[bytes] = 0;
  return text;
}

static void *allocate_zeroed(void *opaque, size_t count, size_t size) {
  (void)opaque;
  return calloc(count, size);
}
static void *allocate(void *opaque, size_t size) {
  (void)opaque;
  return malloc(size);
}
static void release(void *opaque, void *memory) {
  (void)opaque;
  free(memory);
}
static void *reallocate(void *opaque, void *memory, size_t size) {
  (void)opaque;
  return realloc(memory, size);
}
static size_t usable(const void *memory) { return malloc_usable_size((void *)memory); }

static const JSMallocFunctions memory = {allocate_zeroed, allocate, release, reallocate, usable};

// ---- Texts --------------------------------------------------------------------------------------

static uint64_t packed(const char *text, size_t bytes) {
  char *copy = libos_alloc((uint32_t)bytes);
  if (!copy) __builtin_trap();
  memcpy(copy, text, bytes);
  return (uint64_t)(uintptr_t)copy << 32 | (uint32_t)bytes;
}

static uint64_t packed_value(JSValue value) {
  size_t bytes;
  const char *text = JS_ToCStringLen(context, &bytes, value);
  if (!text) __builtin_trap();
  return packed(text, bytes);
}

// ---- The runtime in JavaScript ------------------------------------------------------------------

// Calls a method of the driver. Arguments are not given up.
static JSValue drive_with(const char *method, int count, JSValueConst *arguments) {
  JSValue function = JS_GetPropertyStr(context, driver, method);
  JSValue result = JS_Call(context, function, driver, count, arguments);
  JS_FreeValue(context, function);
  return result;
}

// The envelope of a failure: the driver's word for it, or a fixed one when even that fails.
static uint64_t failure(const char *kind, JSValue error) {
  JSValueConst arguments[] = {JS_NewString(context, kind), error};
  JSValue text = drive_with("fail", COUNT(arguments), arguments);
  if (!JS_IsException(text)) return packed_value(text);
  static const char fixed[] =
      "{\"err\":{\"kind\":\"threw\",\"name\":\"Error\",\"message\":\"it cannot be printed\"}}";
  return packed(fixed, sizeof fixed - 1);
}

static uint64_t thrown(void) { return failure("threw", JS_GetException(context)); }

// The one door: hands a batch of calls to the host and gives the text of its reply.
static JSValue host(JSContext *c, JSValueConst this, int count, JSValueConst *arguments) {
  (void)this, (void)count;
  size_t bytes;
  const char *request = JS_ToCStringLen(c, &bytes, arguments[0]);
  if (!request) return JS_EXCEPTION;
  uint64_t reply = libos_syscall(request, (uint32_t)bytes);
  JS_FreeCString(c, request);
  char *text = (char *)(uintptr_t)(reply >> 32);
  JSValue value = JS_NewStringLen(c, text, (uint32_t)reply);
  free(text);
  return value;
}

// Lets an error take its stack from the place where it reaches the tool.
static JSValue forget_stack(JSContext *c, JSValueConst this, int count, JSValueConst *arguments) {
  (void)this, (void)count;
  engine_forget_stack(c, arguments[0]);
  return JS_UNDEFINED;
}

// Tells the driver of a rejection that nobody handles, or that somebody now does.
static void rejected(JSContext *c, JSValueConst promise, JSValueConst reason, bool handled,
                     void *opaque) {
  (void)opaque;
  JSValueConst arguments[] = {promise, reason, JS_NewBool(c, handled)};
  JS_FreeValue(c, drive_with("rejected", COUNT(arguments), arguments));
}

// Refuses every module: a tool is one.
static JSModuleDef *no_module(JSContext *c, const char *name, void *opaque) {
  (void)opaque;
  wanted = JS_NewString(c, name);
  JS_ThrowReferenceError(c, "a tool has no modules to import: '%s'", name);
  return NULL;
}

// Gives the name of a module as it was written.
static char *as_written(JSContext *c, const char *base, const char *name, void *opaque) {
  (void)base, (void)opaque;
  return js_strdup(c, name);
}

// Starts the engine with the runtime's source: an expression of a function that takes the door and
// `forget_stack` and gives the driver. Once, before the snapshot.
EXPORT("libos_boot") void libos_boot(const char *source, uint32_t bytes) {
  if (runtime) __builtin_trap();
  runtime = JS_NewRuntime2(&memory, NULL);
  if (!runtime) __builtin_trap();
  JS_SetMaxStackSize(runtime, SCRIPT_STACK);
  context = engine_context(runtime);
  if (!context) __builtin_trap();
  JSValue function = JS_Eval(context, source, bytes, "libos:runtime", JS_EVAL_TYPE_GLOBAL);
  JSValueConst arguments[] = {JS_NewCFunction(context, host, "host", 1),
                              JS_NewCFunction(context, forget_stack, "forgetStack", 1)};
  driver = JS_Call(context, function, JS_UNDEFINED, COUNT(arguments), arguments);
  if (JS_IsException(driver)) __builtin_trap();
  JS_FreeValue(context, function);
  for (size_t i = 0; i < COUNT(arguments); i++) JS_FreeValue(context, arguments[i]);
  JS_SetModuleLoaderFunc(runtime, as_written, no_module, NULL);
  JS_SetHostPromiseRejectionTracker(runtime, rejected, NULL);
  JS_RunGC(runtime);
}

// Sets what Math.random and crypto give from here on.
EXPORT("libos_seed") void libos_seed(uint64_t seed) { engine_seed(context, seed); }

// ---- Tools --------------------------------------------------------------------------------------

static JSValue compiled(const char *source, uint32_t bytes) {
  JS_UpdateStackTop(runtime);
  return JS_Eval(context, source, bytes, "tool.js", JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
}

// Whether a source could be run: 0, or the envelope of why not. Runs nothing of it.
EXPORT("libos_check") uint64_t libos_check(const char *source, uint32_t bytes) {
  JSValue function = compiled(source, bytes);
  if (!JS_IsUndefined(wanted)) return failure("import", wanted);
  if (JS_IsException(function)) return thrown();
  JSModuleDef *module = JS_VALUE_GET_PTR(function);
  if (!engine_has_default(module)) return failure("no_default", JS_UNDEFINED);
  return 0;
}

// Runs jobs and batches until a promise is settled. 0, or the envelope of why it never will be.
static uint64_t settle(JSValue promise) {
  for (;;) {
    JSContext *c;
    int ran;
    while ((ran = JS_ExecutePendingJob(runtime, &c)) != 0)
      if (ran < 0) return thrown();
    if (JS_PromiseState(context, promise) == JS_PROMISE_FULFILLED) return 0;
    if (JS_PromiseState(context, promise) == JS_PROMISE_REJECTED)
      return failure("threw", JS_PromiseResult(context, promise));
    JSValue flushed = drive_with("flush", 0, NULL);
    if (JS_IsException(flushed)) return thrown();
    if (!JS_ToBool(context, flushed)) return failure("stuck", JS_UNDEFINED);
  }
}

// Runs a tool to its end: its top level, then its default export with the arguments.
EXPORT("libos_run") uint64_t libos_run(const char *source, uint32_t source_bytes, const char *args,
                                       uint32_t args_bytes) {
  JSValue function = compiled(source, source_bytes);
  if (JS_IsException(function)) return thrown();
  JSModuleDef *module = JS_VALUE_GET_PTR(function);
  JSValue evaluated = JS_EvalFunction(context, function);
  if (JS_IsException(evaluated)) return thrown();
  uint64_t failed = settle(evaluated);
  if (failed) return failed;
  JSValue names = JS_GetModuleNamespace(context, module);
  JSValueConst arguments[] = {JS_GetPropertyStr(context, names, "default"),
                              JS_NewStringLen(context, args, args_bytes)};
  JSValue running = drive_with("run", COUNT(arguments), arguments);
  if (JS_IsException(running)) return thrown();
  failed = settle(running);
  if (failed) return failed;
  JSValueConst result[] = {JS_PromiseResult(context, running)};
  JSValue text = drive_with("done", COUNT(result), result);
  return JS_IsException(text) ? thrown() : packed_value(text);
}
