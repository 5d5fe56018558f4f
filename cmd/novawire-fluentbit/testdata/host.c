/*
 * A host for the plugin that does to it what Fluent Bit does: it loads the
 * library, fills the structures of the plugin proxy of either age, and calls
 * flush on the small stacks of coroutines, from several threads.
 *
 *   host PLUGIN.so key=value... [-- file...]
 *
 * Keys of its own: abi=old|new, stack=BYTES, threads=N, instances=N, rounds=N
 * (each file so often), every=MICROSECONDS (a thread brings a chunk so often).
 * All other keys are the plugin's configuration; "@I/key" is of instance I alone.
 * A file is a chunk; the base of its name is its tag. Chunks are brought again
 * until they are done.
 *
 * Prints: done=N again=N error=N depth=BYTES, the deepest that any stack was used.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum { ERROR, OK, RETRY };

/* What the plugin fills in. It ended with description before event_type came,
 * and again with event_type before config_map did. */
struct definition {
    int type, proxy, flags;
    char *name, *description;
    int event_type;
    void *config_map;
};
#define OLD_SIZE 32 /* of a definition that ends with description */
#define CANARY 0x5a

struct api {
    char *(*output_get_property)(char *, void *);
    char *(*input_get_property)(char *, void *);
    void *later[7];
};

struct context {
    void *remote;
    void *proxy;
};

struct plugin {
    char *name;
    struct api *api;
    void *instance;
    struct context *context;
    void *callbacks[5];
};

static int (*plugin_register)(void *);
static int (*plugin_init)(struct plugin *);
static int (*plugin_flush)(void *, const void *, int, char *);
static int (*plugin_exit)(void *);
static void (*plugin_unregister)(void *);

static char **settings;
static int settings_count;

struct instance {
    int number;
    struct context context;
};

static char *get_property(char *key, void *data)
{
    struct instance *self = data;
    char mine[256];
    int i, n;

    n = snprintf(mine, sizeof mine, "@%d/%s=", self->number, key);
    for (i = 0; i < settings_count; i++)
        if (strncmp(settings[i], mine, n) == 0)
            return settings[i] + n;
    n = strlen(key);
    for (i = 0; i < settings_count; i++)
        if (strncmp(settings[i], key, n) == 0 && settings[i][n] == '=')
            return settings[i] + n + 1;
    return NULL;
}

static struct api api = {.output_get_property = get_property};

static const char *setting(const char *key, const char *fallback)
{
    struct instance nobody = {.number = -1};
    char *value = get_property((char *)key, &nobody);
    return value ? value : fallback;
}

static void fail(const char *what)
{
    fprintf(stderr, "host: %s\n", what);
    exit(1);
}

static void *symbol(void *library, const char *name)
{
    void *found = dlsym(library, name);
    if (!found)
        fail(dlerror());
    return found;
}

struct chunk {
    char tag[256];
    char *data;
    size_t size;
};

static struct chunk *chunks;
static int chunks_count;

static void load(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct chunk *c = &chunks[chunks_count++];
    const char *base = strrchr(path, '/');

    if (!file)
        fail(path);
    snprintf(c->tag, sizeof c->tag, "%s", base ? base + 1 : path);
    fseek(file, 0, SEEK_END);
    c->size = ftell(file);
    rewind(file);
    c->data = malloc(c->size + 1);
    if (fread(c->data, 1, c->size, file) != c->size)
        fail("read chunk");
    fclose(file);
}

/* One worker of Fluent Bit: a thread that runs each flush as a coroutine. */
struct worker {
    pthread_t thread;
    int number, verdicts[3];
    char *stack;
    ucontext_t main, coroutine;
    /* of the flush under way */
    struct instance *instance;
    struct chunk *chunk;
    int verdict;
    struct timespec next; /* when the next chunk is due */
};

static struct instance *instances;
static int instances_count, threads, rounds, every;
static size_t stack_size;

static void flush(unsigned high, unsigned low)
{
    struct worker *w = (struct worker *)((unsigned long)high << 32 | low);
    struct chunk *c = w->chunk;
    char *data = malloc(c->size + 1), *tag = strdup(c->tag);

    memcpy(data, c->data, c->size);
    w->verdict = plugin_flush(w->instance->context.remote, data, (int)c->size, tag);
    /* The chunk is Fluent Bit's again: whoever still reads it, reads this. */
    memset(data, 0xdd, c->size);
    memset(tag, 'X', strlen(tag));
    free(data);
    free(tag);
}

/* tick waits for the next chunk's time, so that the rate holds whatever a flush takes. */
static void tick(struct worker *w)
{
    if (!w->next.tv_sec)
        clock_gettime(CLOCK_MONOTONIC, &w->next);
    w->next.tv_nsec += every * 1000L;
    w->next.tv_sec += w->next.tv_nsec / 1000000000;
    w->next.tv_nsec %= 1000000000;
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &w->next, NULL);
}

static void bring(struct worker *w, struct instance *instance, struct chunk *chunk)
{
    do {
        unsigned long self = (unsigned long)w;
        w->instance = instance;
        w->chunk = chunk;
        getcontext(&w->coroutine);
        w->coroutine.uc_stack.ss_sp = w->stack;
        w->coroutine.uc_stack.ss_size = stack_size;
        w->coroutine.uc_link = &w->main;
        makecontext(&w->coroutine, (void (*)(void))flush, 2, (unsigned)(self >> 32), (unsigned)self);
        swapcontext(&w->main, &w->coroutine);
        w->verdicts[w->verdict]++;
        if (every)
            tick(w);
    } while (w->verdict == RETRY);
}

static void *work(void *data)
{
    struct worker *w = data;
    size_t page = sysconf(_SC_PAGESIZE);
    char *mapping = mmap(NULL, page + stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int round, i, j;

    if (mapping == MAP_FAILED)
        fail("map a stack");
    mprotect(mapping, page, PROT_NONE); /* what is too deep dies here */
    w->stack = mapping + page;
    memset(w->stack, CANARY, stack_size);
    for (round = 0; round < rounds; round++)
        for (i = w->number; i < chunks_count; i += threads)
            for (j = 0; j < instances_count; j++)
                bring(w, &instances[j], &chunks[i]);
    return NULL;
}

static size_t depth(struct worker *w)
{
    size_t untouched = 0;
    while (untouched < stack_size && w->stack[untouched] == CANARY)
        untouched++;
    return stack_size - untouched;
}

static void *define(int old)
{
    size_t size = old ? OLD_SIZE : sizeof(struct definition);
    unsigned char *memory = malloc(size + 64);
    struct definition *d = (struct definition *)memory;
    size_t i;

    memset(memory, 0, size);
    memset(memory + size, CANARY, 64);
    if (plugin_register(memory) == -1)
        fail("register");
    for (i = size; i < size + 64; i++)
        if (memory[i] != CANARY)
            fail("the plugin wrote beyond its definition");
    if (d->type != 2 || d->proxy != 11 || strcmp(d->name, "novawire") != 0 || !d->description)
        fail("the definition is not an output's in Go");
    if (!old && d->event_type != 0)
        fail("the plugin takes what is no log");
    return memory;
}

static void begin(struct instance *self, int number)
{
    struct plugin p = {.name = "novawire", .api = &api, .instance = self, .context = &self->context};

    self->number = number;
    if (plugin_init(&p) != OK)
        fail("init");
    if (!self->context.remote)
        fail("the plugin set no context");
}

int main(int argc, char **argv)
{
    void *library, *definition;
    struct worker *workers;
    int i, total[3] = {0};
    size_t deepest = 0;

    if (argc < 2)
        fail("usage: host PLUGIN.so key=value... [-- file...]");
    settings = argv + 2;
    while (settings_count + 2 < argc && strcmp(settings[settings_count], "--") != 0)
        settings_count++;
    chunks = calloc(argc, sizeof *chunks);
    for (i = settings_count + 3; i < argc; i++)
        load(argv[i]);
    stack_size = atol(setting("stack", "24576"));
    threads = atoi(setting("threads", "1"));
    rounds = atoi(setting("rounds", "1"));
    every = atoi(setting("every", "0"));
    instances_count = atoi(setting("instances", "1"));

    library = dlopen(argv[1], RTLD_LAZY | RTLD_GLOBAL);
    if (!library)
        fail(dlerror());
    plugin_register = symbol(library, "FLBPluginRegister");
    plugin_init = symbol(library, "FLBPluginInit");
    plugin_flush = symbol(library, "FLBPluginFlushCtx");
    plugin_exit = symbol(library, "FLBPluginExitCtx");
    plugin_unregister = symbol(library, "FLBPluginUnregister");

    definition = define(strcmp(setting("abi", "new"), "old") == 0);
    instances = calloc(instances_count, sizeof *instances);
    for (i = 0; i < instances_count; i++)
        begin(&instances[i], i);

    workers = calloc(threads, sizeof *workers);
    for (i = 0; i < threads; i++) {
        workers[i].number = i;
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    }
    for (i = 0; i < threads; i++) {
        int v;
        pthread_join(workers[i].thread, NULL);
        for (v = 0; v < 3; v++)
            total[v] += workers[i].verdicts[v];
        if (depth(&workers[i]) > deepest)
            deepest = depth(&workers[i]);
    }
    for (i = 0; i < instances_count; i++)
        if (plugin_exit(instances[i].context.remote) != OK)
            fail("exit");
    plugin_unregister(definition);
    printf("done=%d again=%d error=%d depth=%zu\n", total[OK], total[RETRY], total[ERROR], deepest);
    return 0;
}
