/*
 * A host that treats the plugin as Fluent Bit does: it loads the library, fills
 * the structures of the plugin proxy in the old or new layout, and calls flush on
 * the small stacks of coroutines, from several threads. It models what a real
 * Fluent Bit 5.1.1 showed about limits, pauses and the end of the process.
 *
 *   host PLUGIN.so key=value... [-- file...]
 *
 * Keys of the host: abi=old|new, stack=BYTES, threads=N, instances=N, rounds=N
 * (how often each file is flushed), every=MICROSECONDS (a thread flushes a chunk
 * so often). All other keys configure the plugin; "@I/key" is only for instance I.
 * A file is a chunk; its base name is the tag. A chunk is flushed until the result
 * is OK.
 *
 * tail=N models the tail input: N times, every open=MILLISECONDS, each file becomes
 * a chunk. With pause=on the input does not read while max_chunks_up=N chunks are
 * in memory, and what is not read counts as missed; otherwise further chunks wait
 * on disk.
 *
 * term=MILLISECONDS models the end: SIGTERM after that time. For grace=SECONDS
 * chunks are retried; then the workers flush once more what they have queued, and
 * only when they have ended is the plugin's exit callback called.
 *
 * Prints: done=N again=N error=N depth=BYTES missed=N disk=N left=N ended=MILLISECONDS.
 * depth is the deepest use of any stack, disk the largest number of chunks that
 * waited on disk, left the chunks that were not delivered, ended the time from
 * SIGTERM to the end.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum { ERROR, OK, RETRY };

/* The structure that the plugin fills. Old versions end with description; then
 * event_type was added, and later config_map. */
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
    int number, results[3];
    char *stack;
    ucontext_t main, coroutine;
    /* of the flush under way */
    struct instance *instance;
    struct chunk *chunk;
    int result;
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
    w->result = plugin_flush(w->instance->context.remote, data, (int)c->size, tag);
    /* The chunk is Fluent Bit's again: whoever still reads it, reads this. */
    memset(data, 0xdd, c->size);
    memset(tag, 'X', strlen(tag));
    free(data);
    free(tag);
}

/* tick waits for the next chunk's time, so that the rate does not depend on how
 * long a flush takes. */
static void tick(struct worker *w)
{
    if (!w->next.tv_sec)
        clock_gettime(CLOCK_MONOTONIC, &w->next);
    w->next.tv_nsec += every * 1000L;
    w->next.tv_sec += w->next.tv_nsec / 1000000000;
    w->next.tv_nsec %= 1000000000;
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &w->next, NULL);
}

/* The end of the process. */
static volatile sig_atomic_t signalled;
static struct timespec signal_time;
static int grace, left;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static long since_signal(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - signal_time.tv_sec) * 1000 + (now.tv_nsec - signal_time.tv_nsec) / 1000000;
}

static void on_sigterm(int number)
{
    (void)number;
    clock_gettime(CLOCK_MONOTONIC, &signal_time);
    signalled = 1;
}

static int grace_is_over(void) { return signalled && since_signal() >= grace * 1000L; }

static void flush_until_ok(struct worker *w, struct instance *instance, struct chunk *chunk)
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
        w->results[w->result]++;
        if (every)
            tick(w);
    } while (w->result == RETRY && !grace_is_over());
    if (w->result == RETRY) {
        pthread_mutex_lock(&lock);
        left++;
        pthread_mutex_unlock(&lock);
    }
}

/* The tail input and its chunks. */
struct pending {
    struct chunk *chunk;
    struct pending *next;
};
static struct pending *first, **last = &first;
static int tail_closed, up, disk, missed;
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER;

static void *tail(void *data)
{
    int n = atoi(setting("tail", "0")), open = atoi(setting("open", "1000"));
    int limit = atoi(setting("max_chunks_up", "128")), pauses = strcmp(setting("pause", "off"), "on") == 0;
    int round, i;

    (void)data;
    for (round = 0; round < n && !signalled; round++) {
        pthread_mutex_lock(&lock);
        for (i = 0; i < chunks_count; i++) {
            struct pending *p;

            if (pauses && up >= limit) {
                missed++;
                continue;
            }
            if (++up - limit > disk)
                disk = up - limit;
            p = calloc(1, sizeof *p);
            p->chunk = &chunks[i];
            *last = p;
            last = &p->next;
        }
        pthread_cond_broadcast(&arrived);
        pthread_mutex_unlock(&lock);
        usleep(open * 1000);
    }
    pthread_mutex_lock(&lock);
    tail_closed = 1;
    pthread_cond_broadcast(&arrived);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static struct chunk *next_pending(void)
{
    struct chunk *chunk = NULL;

    pthread_mutex_lock(&lock);
    while (!first && !tail_closed)
        pthread_cond_wait(&arrived, &lock);
    if (first) {
        struct pending *p = first;

        chunk = p->chunk;
        first = p->next;
        if (!first)
            last = &first;
        free(p);
    }
    pthread_mutex_unlock(&lock);
    return chunk;
}

static void work_on_tail(struct worker *w)
{
    struct chunk *chunk;
    int queued = atoi(setting("max_chunks_up", "128")) / threads;

    while ((chunk = next_pending())) {
        if (grace_is_over() && queued-- <= 0) { /* the others stay on disk */
            pthread_mutex_lock(&lock);
            left++;
            pthread_mutex_unlock(&lock);
            continue;
        }
        flush_until_ok(w, &instances[0], chunk);
        pthread_mutex_lock(&lock);
        up--;
        pthread_mutex_unlock(&lock);
    }
}

static void *work(void *data)
{
    struct worker *w = data;
    size_t page = sysconf(_SC_PAGESIZE);
    char *mapping = mmap(NULL, page + stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int round, i, j;

    if (mapping == MAP_FAILED)
        fail("map a stack");
    mprotect(mapping, page, PROT_NONE); /* an overflow ends the process here */
    w->stack = mapping + page;
    memset(w->stack, CANARY, stack_size);
    if (atoi(setting("tail", "0")) > 0) {
        work_on_tail(w);
        return NULL;
    }
    for (round = 0; round < rounds; round++)
        for (i = w->number; i < chunks_count; i += threads)
            for (j = 0; j < instances_count; j++)
                flush_until_ok(w, &instances[j], &chunks[i]);
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
        fail("the definition is not that of an output in Go");
    if (!old && d->event_type != 0)
        fail("the plugin accepts events that are not logs");
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
    pthread_t input;
    int i, term, total[3] = {0};
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
    grace = atoi(setting("grace", "5"));
    term = atoi(setting("term", "0"));
    signal(SIGTERM, on_sigterm); /* as Fluent Bit does, before it loads plugins */

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
    pthread_create(&input, NULL, tail, NULL);
    if (term) {
        usleep(term * 1000);
        kill(getpid(), SIGTERM);
        while (!signalled) /* the plugin must call our handler */
            usleep(1000);
    }
    for (i = 0; i < threads; i++) {
        int v;
        pthread_join(workers[i].thread, NULL);
        for (v = 0; v < 3; v++)
            total[v] += workers[i].results[v];
        if (depth(&workers[i]) > deepest)
            deepest = depth(&workers[i]);
    }
    for (i = 0; i < instances_count; i++)
        if (plugin_exit(instances[i].context.remote) != OK)
            fail("exit");
    plugin_unregister(definition);
    pthread_join(input, NULL);
    printf("done=%d again=%d error=%d depth=%zu missed=%d disk=%d left=%d ended=%ld\n", total[OK], total[RETRY], total[ERROR],
           deepest, missed, disk > 0 ? disk : 0, left, signalled ? since_signal() : 0);
    return 0;
}
