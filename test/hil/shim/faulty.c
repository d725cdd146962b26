/*
 * A PKCS#11 module that passes every call on to another one, and does harm to those that a control file names.
 *
 * Copyright the Holdfast authors
 * SPDX-License-Identifier: Apache-2.0
 *
 * FAULTY_MODULE is the real module, FAULTY_CONTROL the control file. It is read anew whenever it changes, and each call
 * counts from then on; without it nothing happens. What was done is appended to the file of that name with ".done".
 * Each line is one rule:
 *
 *   FUNCTION FIRST COUNT ACTION [ARGUMENT]
 *
 * From the FIRST call of FUNCTION on, COUNT calls (0: all) meet ACTION:
 *
 *   return CKR          the call is not made and returns that number
 *   flip [TYPE]         one bit of the result is changed: of a signature made with mechanism TYPE, or of attribute TYPE
 *   set TYPE BYTE       attribute TYPE reads as this one byte, where it has one
 *   hang                the call never returns
 *   wait [TYPE]         the call is made once the control file has changed or is gone
 *   crash               SIGSEGV; the control file is removed first, so that the process which is started next lives
 *
 * With a TYPE only calls of that type count. Types and numbers follow PKCS#11 v2.40; the few declarations are our own.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef unsigned long word;
typedef word handle;
typedef struct { word type; void *value; word length; } attribute;
typedef struct { word mechanism; void *parameter; word length; } mechanism;

/* CK_FUNCTION_LIST: a version and 68 functions, whose places below are those of the standard. */
typedef struct { unsigned char major, minor; void *at[68]; } function_list;
enum {
  GET_FUNCTION_LIST = 3, GET_SLOT_LIST = 4, GET_TOKEN_INFO = 6, OPEN_SESSION = 12, LOGIN = 18, CREATE_OBJECT = 20,
  DESTROY_OBJECT = 22, GET_ATTRIBUTE_VALUE = 24, SET_ATTRIBUTE_VALUE = 25, FIND_OBJECTS_INIT = 26, SIGN_INIT = 42,
  SIGN = 43, GENERATE_KEY = 58, GENERATE_KEY_PAIR = 59, WRAP_KEY = 60, DERIVE_KEY = 62
};
enum { CKR_OK = 0, CKR_GENERAL_ERROR = 5 };

typedef struct { char function[32], action[8]; word first, count, argument, byte, seen; int typed; } rule;

static function_list *real;
static function_list own;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static rule rules[16];
static int rule_count;
static struct stat known;
static __thread word signing; /* the mechanism of this thread's C_SignInit: a session belongs to one thread */

static int same(const struct stat *a, const struct stat *b) {
  return a->st_ino == b->st_ino && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int changed(const char *path, const struct stat *before) {
  struct stat now;
  return stat(path, &now) != 0 || !same(&now, before);
}

static void read_rules(const char *path) {
  struct stat now;
  if (!path || stat(path, &now) != 0) { rule_count = 0; memset(&known, 0, sizeof known); return; }
  if (same(&now, &known)) return;
  known = now;
  rule_count = 0;
  FILE *file = fopen(path, "r");
  if (!file) return;
  char line[200];
  while (rule_count < 16 && fgets(line, sizeof line, file)) {
    rule *r = &rules[rule_count];
    memset(r, 0, sizeof *r);
    char first[24] = "", second[24] = "";
    int found = sscanf(line, "%31s %lu %lu %7s %23s %23s", r->function, &r->first, &r->count, r->action, first, second);
    if (found < 4) continue;
    r->argument = strtoul(first, NULL, 0);
    r->byte = strtoul(second, NULL, 0);
    r->typed = found > 4 && strcmp(r->action, "return") != 0;
    rule_count++;
  }
  fclose(file);
}

static void note(const char *path, const rule *r) {
  char name[4096], text[80];
  snprintf(name, sizeof name, "%s.done", path);
  int length = snprintf(text, sizeof text, "%s %s\n", r->function, r->action);
  int file = open(name, O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (file < 0) return;
  if (write(file, text, (size_t)length) != length) { /* then the test that waits for it fails */ }
  close(file);
}

/* The rule that this call meets, copied. `type` is what the call is about: a mechanism, an attribute, or nothing. */
static int met(const char *function, word type, rule *out) {
  const char *path = getenv("FAULTY_CONTROL");
  int hit = 0;
  struct stat before;
  pthread_mutex_lock(&lock);
  read_rules(path);
  before = known;
  for (int i = 0; i < rule_count && !hit; i++) {
    rule *r = &rules[i];
    if (strcmp(r->function, function) != 0 || (r->typed && r->argument != type)) continue;
    r->seen++;
    hit = r->seen >= r->first && (r->count == 0 || r->seen < r->first + r->count);
    if (hit) *out = *r;
  }
  if (hit) note(path, out);
  if (hit && strcmp(out->action, "crash") == 0) { unlink(path); raise(SIGSEGV); }
  pthread_mutex_unlock(&lock);
  if (hit && strcmp(out->action, "hang") == 0) for (;;) pause();
  if (hit && strcmp(out->action, "wait") == 0) while (!changed(path, &before)) usleep(2000);
  return hit;
}

static void flip(void *bytes, word length) {
  if (bytes && length > 0 && length != (word)-1) ((unsigned char *)bytes)[length / 2] ^= 0x10;
}

#define PASS(NAME, PLACE, PARAMETERS, ARGUMENTS)                                   \
  static word NAME PARAMETERS {                                                    \
    rule r;                                                                        \
    if (met(#NAME, 0, &r) && strcmp(r.action, "return") == 0) return r.argument;   \
    return ((word(*) PARAMETERS)real->at[PLACE])ARGUMENTS;                         \
  }

PASS(C_GetSlotList, GET_SLOT_LIST, (unsigned char present, handle *slots, word *count), (present, slots, count))
PASS(C_GetTokenInfo, GET_TOKEN_INFO, (handle slot, void *info), (slot, info))
PASS(C_OpenSession, OPEN_SESSION, (handle slot, word flags, void *data, void *notify, handle *session),
     (slot, flags, data, notify, session))
PASS(C_Login, LOGIN, (handle session, word user, void *pin, word length), (session, user, pin, length))
PASS(C_CreateObject, CREATE_OBJECT, (handle session, attribute *with, word count, handle *object),
     (session, with, count, object))
PASS(C_DestroyObject, DESTROY_OBJECT, (handle session, handle object), (session, object))
PASS(C_SetAttributeValue, SET_ATTRIBUTE_VALUE, (handle session, handle object, attribute *with, word count),
     (session, object, with, count))
PASS(C_FindObjectsInit, FIND_OBJECTS_INIT, (handle session, attribute *with, word count), (session, with, count))
PASS(C_GenerateKey, GENERATE_KEY, (handle session, mechanism *how, attribute *with, word count, handle *key),
     (session, how, with, count, key))
PASS(C_GenerateKeyPair, GENERATE_KEY_PAIR,
     (handle session, mechanism *how, attribute *public, word publics, attribute *private, word privates,
      handle *public_key, handle *private_key),
     (session, how, public, publics, private, privates, public_key, private_key))
PASS(C_DeriveKey, DERIVE_KEY,
     (handle session, mechanism *how, handle base, attribute *with, word count, handle *key),
     (session, how, base, with, count, key))

PASS(C_WrapKey, WRAP_KEY, (handle session, mechanism *how, handle wrapping, handle key, void *wrapped, word *size),
     (session, how, wrapping, key, wrapped, size))

static word C_SignInit(handle session, mechanism *how, handle key) {
  rule r;
  signing = how ? how->mechanism : 0;
  if (met("C_SignInit", signing, &r) && strcmp(r.action, "return") == 0) return r.argument;
  return ((word(*)(handle, mechanism *, handle))real->at[SIGN_INIT])(session, how, key);
}

static word C_Sign(handle session, void *data, word length, void *signature, word *size) {
  rule r;
  int hit = met("C_Sign", signing, &r);
  if (hit && strcmp(r.action, "return") == 0) return r.argument;
  word result = ((word(*)(handle, void *, word, void *, word *))real->at[SIGN])(session, data, length, signature, size);
  if (hit && result == CKR_OK && strcmp(r.action, "flip") == 0) flip(signature, *size);
  return result;
}

static word C_GetAttributeValue(handle session, handle object, attribute *with, word count) {
  word result =
      ((word(*)(handle, handle, attribute *, word))real->at[GET_ATTRIBUTE_VALUE])(session, object, with, count);
  for (word i = 0; i < count; i++) {
    rule r;
    if (!with[i].value) continue; /* asks for the length only */
    if (!met("C_GetAttributeValue", with[i].type, &r)) continue;
    if (strcmp(r.action, "return") == 0) return r.argument;
    if (strcmp(r.action, "flip") == 0) flip(with[i].value, with[i].length);
    if (strcmp(r.action, "set") == 0 && with[i].length == 1) *(unsigned char *)with[i].value = (unsigned char)r.byte;
  }
  return result;
}

word C_GetFunctionList(function_list **list);

static void wrap(void) {
  memcpy(&own, real, sizeof own);
  own.at[GET_FUNCTION_LIST] = (void *)C_GetFunctionList;
  own.at[GET_SLOT_LIST] = (void *)C_GetSlotList;
  own.at[GET_TOKEN_INFO] = (void *)C_GetTokenInfo;
  own.at[OPEN_SESSION] = (void *)C_OpenSession;
  own.at[LOGIN] = (void *)C_Login;
  own.at[CREATE_OBJECT] = (void *)C_CreateObject;
  own.at[DESTROY_OBJECT] = (void *)C_DestroyObject;
  own.at[GET_ATTRIBUTE_VALUE] = (void *)C_GetAttributeValue;
  own.at[SET_ATTRIBUTE_VALUE] = (void *)C_SetAttributeValue;
  own.at[FIND_OBJECTS_INIT] = (void *)C_FindObjectsInit;
  own.at[SIGN_INIT] = (void *)C_SignInit;
  own.at[SIGN] = (void *)C_Sign;
  own.at[GENERATE_KEY] = (void *)C_GenerateKey;
  own.at[GENERATE_KEY_PAIR] = (void *)C_GenerateKeyPair;
  own.at[WRAP_KEY] = (void *)C_WrapKey;
  own.at[DERIVE_KEY] = (void *)C_DeriveKey;
}

word C_GetFunctionList(function_list **list) {
  pthread_mutex_lock(&lock);
  if (!real) {
    const char *path = getenv("FAULTY_MODULE");
    void *module = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    word (*get)(function_list **) = module ? (word(*)(function_list **))dlsym(module, "C_GetFunctionList") : NULL;
    if (!get || get(&real) != CKR_OK) real = NULL;
    else wrap();
  }
  pthread_mutex_unlock(&lock);
  if (!real) return CKR_GENERAL_ERROR;
  *list = &own;
  return CKR_OK;
}
