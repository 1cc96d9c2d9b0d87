/*
 * A tar stream of many small files that differ from those of any other seed and compress to next to nothing:
 * three of ten have 4,608 bytes and become objects, the others have 100 and lie in the tree.
 *   manyfiles SEED COUNT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 512
#define FILES_PER_DIRECTORY 500

static void header(const char *name, char type, unsigned mode, unsigned long size)
{
    char block[BLOCK] = {0};
    unsigned sum = 0;
    snprintf(block, 100, "%s", name);
    snprintf(block + 100, 8, "%07o", mode);
    snprintf(block + 108, 8, "%07o", 0);
    snprintf(block + 116, 8, "%07o", 0);
    snprintf(block + 124, 12, "%011lo", size);
    snprintf(block + 136, 12, "%011lo", 1767225600UL);
    memset(block + 148, ' ', 8);
    block[156] = type;
    memcpy(block + 257, "ustar\00000", 8);
    for (int i = 0; i < BLOCK; i++)
        sum += (unsigned char)block[i];
    snprintf(block + 148, 8, "%06o", sum);
    fwrite(block, BLOCK, 1, stdout);
}

int main(int argc, char **argv)
{
    static char content[9 * BLOCK], end[2 * BLOCK];
    char name[100];
    if (argc != 3)
        return fprintf(stderr, "usage: manyfiles SEED COUNT\n"), 2;
    long count = atol(argv[2]);
    for (long i = 0; i < count; i++) {
        unsigned long size = i % 10 < 3 ? 9 * BLOCK : 100;
        if (i % FILES_PER_DIRECTORY == 0) {
            snprintf(name, sizeof name, "d%04ld/", i / FILES_PER_DIRECTORY);
            header(name, '5', 0755, 0);
        }
        snprintf(name, sizeof name, "d%04ld/f%06ld", i / FILES_PER_DIRECTORY, i);
        header(name, '0', 0644, size);
        memset(content, 0, 64);
        snprintf(content, 64, "%s %ld\n", argv[1], i);
        fwrite(content, BLOCK, (size + BLOCK - 1) / BLOCK, stdout);
    }
    fwrite(end, sizeof end, 1, stdout);
    return ferror(stdout) ? 1 : 0;
}
