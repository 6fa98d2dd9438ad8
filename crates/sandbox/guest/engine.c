// QuickJS-ng as one unit, and the few things that need its private structures.
//
// Owns nothing. What it looks into may change with the engine: the version is pinned.
#include "quickjs.c"
#include "engine.h"

// Every intrinsic but the clock (`performance`).
JSContext *engine_context(JSRuntime *runtime) {
  JSContext *context = JS_NewContextRaw(runtime);
  if (!context) return NULL;
  if (JS_AddIntrinsicBaseObjects(context) || JS_AddIntrinsicDate(context) ||
      JS_AddIntrinsicEval(context) || JS_AddIntrinsicRegExp(context) ||
      JS_AddIntrinsicJSON(context) || JS_AddIntrinsicProxy(context) ||
      JS_AddIntrinsicMapSet(context) || JS_AddIntrinsicTypedArrays(context) ||
      JS_AddIntrinsicPromise(context) || JS_AddIntrinsicWeakRef(context) ||
      JS_AddIntrinsicDOMException(context) || JS_AddIntrinsicAToB(context))
    return NULL;
  return context;
}

// The state behind Math.random; it must not be 0.
void engine_seed(JSContext *context, uint64_t seed) { context->random_state = seed ? seed : 1; }

// Whether a compiled module has a default export.
bool engine_has_default(JSModuleDef *module) {
  for (int i = 0; i < module->export_entries_count; i++)
    if (module->export_entries[i].export_name == JS_ATOM_default) return true;
  return false;
}

// Forgets where an error was made: the engine notes where it is thrown next.
void engine_forget_stack(JSContext *context, JSValueConst error) {
  if (JS_VALUE_GET_TAG(error) != JS_TAG_OBJECT) return;
  JSObject *object = JS_VALUE_GET_OBJ(error);
  if (object->class_id != JS_CLASS_ERROR) return;
  JS_FreeValue(context, object->u.object_data);
  object->u.object_data = JS_UNDEFINED;
}
