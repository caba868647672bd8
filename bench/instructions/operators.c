/* What a PE's core does of a DNN (models/operators, host/cost/operators), one element after another: scaling sums to int8, adding up
 * partial sums, tables, residual additions, products, means, pools, bytes that move, depthwise convolutions, softmax, normalisation.
 *
 * A sum is scaled by a multiplier of 31 bits and a shift. Where that shifts by 32 or more, the high word of the product is enough.
 * Loops are plain; compiled with -funroll-loops they are counted once more.
 */
#include <arm_acle.h>
#include <math.h>
#include <stdint.h>

#define LOOP __attribute__((noinline))

static inline int32_t clamped(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

static inline int32_t scaled(int32_t sum, int32_t multiplier, uint64_t half, int32_t shift)
{
    return (int32_t)(((int64_t)sum * multiplier + (int64_t)half) >> 32) >> shift;
}

/* ---- scaling */
LOOP void requantise(uint32_t count, const int32_t *sums, int8_t *out, int32_t multiplier, int32_t shift, int32_t zero)
{
    const uint64_t half = 1ull << (shift - 1);
    for (uint32_t i = 0; i < count; i++)
        out[i] = __ssat(zero + scaled(sums[i], multiplier, half, shift - 32), 8);
}

/* Any shift, and any two ends (a ReLU's, say). */
LOOP void requantise_any(uint32_t count, const int32_t *sums, int8_t *out, int32_t multiplier, int32_t shift, int32_t zero,
                         int32_t low, int32_t high)
{
    const int64_t half = 1ll << (shift - 1);
    for (uint32_t i = 0; i < count; i++)
        out[i] = clamped(zero + (int32_t)(((int64_t)sums[i] * multiplier + half) >> shift), low, high);
}

LOOP void partial(uint32_t count, const int32_t *part, int32_t *sums)
{
    for (uint32_t i = 0; i < count; i++)
        sums[i] += part[i];
}

/* ---- element by element */
LOOP void table(uint32_t count, const int8_t *values, const int8_t *x, int8_t *out)
{
    for (uint32_t i = 0; i < count; i++)
        out[i] = values[x[i] + 128];
}

/* The numbers of what is the same for all elements: multipliers of x and y, and what is added (offsets, half a step, zero point). */
LOOP void add(uint32_t count, const int8_t *x, const int8_t *y, int8_t *out, int32_t of_x, int32_t of_y, int32_t rest, int32_t shift)
{
    for (uint32_t i = 0; i < count; i++)
        out[i] = __ssat((x[i] * of_x + y[i] * of_y + rest) >> shift, 8);
}

LOOP void add_any(uint32_t count, const int8_t *x, const int8_t *y, int8_t *out, int32_t of_x, int32_t of_y, int32_t rest, int32_t shift,
                  int32_t low, int32_t high)
{
    for (uint32_t i = 0; i < count; i++)
        out[i] = clamped((x[i] * of_x + y[i] * of_y + rest) >> shift, low, high);
}

LOOP void multiply(uint32_t count, const int8_t *x, const int8_t *y, int8_t *out, int32_t offset_x, int32_t offset_y,
                   int32_t multiplier, int32_t shift, int32_t zero)
{
    const uint64_t half = 1ull << (shift - 1);
    for (uint32_t i = 0; i < count; i++)
        out[i] = __ssat(zero + scaled((x[i] - offset_x) * (y[i] - offset_y), multiplier, half, shift - 32), 8);
}

LOOP void mean(uint32_t rows, uint32_t width, const int8_t *x, int32_t *sums, int32_t offset)
{
    for (uint32_t r = 0; r < rows; r++) {
        int32_t sum = -(int32_t)width * offset;
        for (uint32_t c = 0; c < width; c++)
            sum += x[r * width + c];
        sums[r] = sum;
    }
}

/* Four numbers of a word at once: widened in pairs and added by a multiplication with ones. */
LOOP void mean_in_words(uint32_t rows, uint32_t width, const int8_t *x, int32_t *sums, int32_t offset)
{
    for (uint32_t r = 0; r < rows; r++) {
        const uint32_t *words = (const uint32_t *)(x + r * width);
        int32_t sum = -(int32_t)width * offset;
        for (uint32_t c = 0; c < width / 4; c++) {
            const uint32_t word = words[c];
            sum = __smlad(__sxtb16(word), 0x00010001, sum);
            sum = __smlad(__sxtb16(word >> 8 | word << 24), 0x00010001, sum);
        }
        sums[r] = sum;
    }
}

/* ---- bytes that move */
LOOP void move(uint32_t rows, uint32_t width, const int8_t *x, uint32_t from, int8_t *out, uint32_t to)
{
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < width; c++)
            ((volatile int8_t *)out)[r * to + c] = x[r * from + c];
}

LOOP void move_apart(uint32_t rows, uint32_t width, const int8_t *x, uint32_t from, int8_t *out, uint32_t to)
{
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < width; c++)
            out[c * to + r] = x[r * from + c];
}

LOOP void move_words(uint32_t rows, uint32_t width, const int8_t *x, uint32_t from, int8_t *out, uint32_t to)
{
    for (uint32_t r = 0; r < rows; r++) {
        const uint32_t *source = (const uint32_t *)(x + r * from);
        volatile uint32_t *target = (volatile uint32_t *)(out + r * to);
        for (uint32_t c = 0; c < width / 4; c++)
            target[c] = source[c];
    }
}

/* ---- windows: (rows, columns) of a plane that has its border already */
LOOP void largest(uint32_t rows, uint32_t columns, uint32_t kernel, uint32_t stride, uint32_t width, const int8_t *x, int8_t *out)
{
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < columns; c++) {
            const int8_t *corner = x + r * stride * width + c * stride;
            int32_t most = -128;
            for (uint32_t v = 0; v < kernel; v++, corner += width)
                for (uint32_t u = 0; u < kernel; u++)
                    most = corner[u] > most ? corner[u] : most;
            *out++ = most;
        }
}

LOOP void sums_of_windows(uint32_t rows, uint32_t columns, uint32_t kernel, uint32_t stride, uint32_t width, const int8_t *x,
                          int32_t *out, int32_t rest)
{
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < columns; c++) {
            const int8_t *corner = x + r * stride * width + c * stride;
            int32_t sum = rest;
            for (uint32_t v = 0; v < kernel; v++, corner += width)
                for (uint32_t u = 0; u < kernel; u++)
                    sum += corner[u];
            *out++ = sum;
        }
}

LOOP void depthwise(uint32_t rows, uint32_t columns, uint32_t kernel, uint32_t stride, uint32_t width, const int8_t *x,
                    const int8_t *weights, int32_t *out, int32_t bias)
{
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < columns; c++) {
            const int8_t *corner = x + r * stride * width + c * stride, *weight = weights;
            int32_t sum = bias;
            for (uint32_t v = 0; v < kernel; v++, corner += width)
                for (uint32_t u = 0; u < kernel; u++)
                    sum += *weight++ * corner[u];
            *out++ = sum;
        }
}

/* ---- rows: the largest, a table of what is how far below it, their sum, and a product; or with what the chip's unit answered */
LOOP void softmax(uint32_t rows, uint32_t width, const int8_t *x, const uint32_t *values, int8_t *out, int32_t zero, float factor)
{
    for (uint32_t r = 0; r < rows; r++, x += width, out += width) {
        int32_t most = -128;
        uint32_t sum = 0;
        for (uint32_t c = 0; c < width; c++)
            most = x[c] > most ? x[c] : most;
        for (uint32_t c = 0; c < width; c++)
            sum += values[most - x[c]];
        const float ratio = factor / (float)sum;
        for (uint32_t c = 0; c < width; c++)
            out[c] = __ssat(zero + (int32_t)((float)values[most - x[c]] * ratio + 0.5f), 8);
    }
}

LOOP void softmax_rest(uint32_t rows, uint32_t width, const int8_t *x, uint32_t *exponentials, int8_t *out, int32_t zero, float factor)
{
    volatile int32_t *unit = (volatile int32_t *)0x00800000;
    for (uint32_t r = 0; r < rows; r++, x += width, out += width) {
        int32_t most = -128;
        uint32_t sum = 0;
        for (uint32_t c = 0; c < width; c++)
            most = x[c] > most ? x[c] : most;
        for (uint32_t c = 0; c < width; c++) {
            unit[0] = most - x[c];
            const uint32_t one = (uint32_t)unit[1];
            exponentials[c] = one;
            sum += one;
        }
        const float ratio = factor / (float)sum;
        for (uint32_t c = 0; c < width; c++)
            out[c] = __ssat(zero + (int32_t)((float)exponentials[c] * ratio + 0.5f), 8);
    }
}

static inline int32_t floor_of(float value)
{
    const int32_t whole = (int32_t)value;
    return whole - ((float)whole > value);
}

LOOP void layer_norm(uint32_t rows, uint32_t width, const int8_t *x, const float *gamma, const float *beta, int8_t *out, int32_t zero,
                     float epsilon)
{
    const int32_t n = (int32_t)width;
    for (uint32_t r = 0; r < rows; r++, x += width, out += width) {
        int32_t total = 0, squares = 0;
        for (uint32_t c = 0; c < width; c++) {
            total += x[c];
            squares += x[c] * x[c];
        }
        const float scale = 1.0f / sqrtf((float)((int64_t)n * squares - (int64_t)total * total) + epsilon);
        for (uint32_t c = 0; c < width; c++)
            out[c] = __ssat(zero + floor_of((float)(n * x[c] - total) * scale * gamma[c] + beta[c] + 0.5f), 8);
    }
}
