// What engine.c adds to the public interface of QuickJS-ng.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "quickjs.h"

JSContext *engine_context(JSRuntime *runtime);
void engine_seed(JSContext *context, uint64_t seed);
bool engine_has_default(JSModuleDef *module);
void engine_forget_stack(JSContext *context, JSValueConst error);
