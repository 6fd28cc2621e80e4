/* Runs a fuzz target on files, and on the files of directories, without a fuzzer: for compilers
 * that have none, and for regression tests. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

static char *slurp(FILE *f, size_t *size)
{
    char *data = NULL;
    size_t cap = 0;
    *size = 0;
    do {
        cap = cap ? cap * 2 : 4096;
        data = realloc(data, cap);
        if (!data)
            abort();
        *size += fread(data + *size, 1, cap - *size, f);
    } while (*size == cap);
    return data;
}

static size_t run_file(const char *path)
{
    size_t size;
    FILE *f = fopen(path, "re");
    if (!f) {
        (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(1);
    }
    _cleanup_free_ char *data = slurp(f, &size);
    (void)fclose(f);
    /* The last one named is the one that broke it. */
    (void)fprintf(stderr, "%s\n", path);
    struct slice exact = fuzz_exact(data, size);
    (void)LLVMFuzzerTestOneInput((const uint8_t *)exact.p, exact.n);
    free((char *)exact.p);
    return 1;
}

static size_t run(const char *path)
{
    struct stat st;
    struct dirent **names;
    size_t runs = 0;
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return run_file(path);
    int n = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        _cleanup_free_ char *file = NULL;
        if (names[i]->d_name[0] != '.' && asprintf(&file, "%s/%s", path, names[i]->d_name) >= 0)
            runs += run_file(file);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    return runs;
}

int main(int argc, char **argv)
{
    size_t runs = 0;
    for (int i = 1; i < argc; i++)
        runs += run(argv[i]);
    (void)printf("%zu inputs\n", runs);
    return runs ? 0 : 1;
}
