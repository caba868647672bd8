/* The step of Few-Spikes neurons as a PE's core would make it (models/kernels/fs.py, fs_complex.py).
 *
 * A position's first tick makes the values; each tick says a bit of them. Parameters of a unit lie side by side. Functions of a
 * tick write the keys of units that spike and what an event is worth, and return how many there were. Compiled without
 * contraction: a VFMA would round once where the models round twice.
 */
#include <math.h>
#include <stdint.h>

struct part {
    float gain, bias;
};

struct pair {
    struct part a, b;
    float theta;
};

#define VALUES(NAME, SUM)                                                                                                      \
    void NAME(uint32_t n, const struct part *restrict parts, const SUM *restrict sums, float *restrict v, float scale,         \
              float half)                                                                                                      \
    {                                                                                                                          \
        for (uint32_t u = 0; u < n; u++)                                                                                       \
            v[u] = (parts[u].gain * (float)sums[u] + parts[u].bias) * scale + half;                                            \
    }

#define TICK(NAME, WORTH, SIGNED)                                                                                              \
    uint32_t NAME(uint32_t n, float *restrict v, const uint32_t *restrict names, uint32_t *restrict keys,                      \
                  WORTH *restrict worths, WORTH worth, float h)                                                                \
    {                                                                                                                          \
        uint32_t sent = 0;                                                                                                     \
        for (uint32_t u = 0; u < n; u++) {                                                                                     \
            float rest = v[u];                                                                                                 \
            if (__builtin_expect(rest >= h, 0)) {                                                                              \
                keys[sent] = names[u];                                                                                         \
                worths[sent++] = worth;                                                                                        \
                v[u] = rest - h;                                                                                               \
            } else if (SIGNED && __builtin_expect(rest <= -h, 0)) {                                                            \
                keys[sent] = names[u];                                                                                         \
                worths[sent++] = -worth;                                                                                       \
                v[u] = rest + h;                                                                                               \
            }                                                                                                                  \
        }                                                                                                                      \
        return sent;                                                                                                           \
    }

#define PAIRS(NAME, SUM, DRIVEN)                                                                                               \
    void NAME(uint32_t n, const struct pair *restrict pairs, const SUM *restrict sums, const float *restrict drive,            \
              float *restrict v, float scale, float half)                                                                      \
    {                                                                                                                          \
        for (uint32_t u = 0; u < n; u++) {                                                                                     \
            const struct pair *one = pairs + u;                                                                                \
            float a = one->a.gain * (float)sums[2 * u] + one->a.bias, b = one->b.gain * (float)sums[2 * u + 1] + one->b.bias;  \
            if (DRIVEN)                                                                                                        \
                a += drive[2 * u], b += drive[2 * u + 1];                                                                      \
            float m = __builtin_sqrtf(a * a + b * b);                                                                          \
            if (m > one->theta) {                                                                                              \
                float f = 1.0f - one->theta / m;                                                                               \
                a *= f, b *= f;                                                                                                \
            } else {                                                                                                           \
                a = b = 0.0f;                                                                                                  \
            }                                                                                                                  \
            v[2 * u] = a >= 0.0f ? a * scale + half : a * scale - half;                                                        \
            v[2 * u + 1] = b >= 0.0f ? b * scale + half : b * scale - half;                                                    \
        }                                                                                                                      \
    }

VALUES(fs_values, float)
VALUES(fs_values_int8, int32_t)
TICK(fs_tick, int32_t, 0)
TICK(fs_tick_float, float, 0)
TICK(fs_complex_tick, int32_t, 1)
TICK(fs_complex_tick_float, float, 1)
PAIRS(fs_complex_values, float, 1)
PAIRS(fs_complex_values_alone, float, 0)
PAIRS(fs_complex_values_int8, int32_t, 1)
