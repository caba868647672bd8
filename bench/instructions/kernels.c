/* The loops whose cycles a price reckons with (host/cost/costs.toml and the twins), as a PE's core would run them.
 *
 * Weights times events in each format, the upkeep of traces, adding up sums, the step of an EGRU with newlib's exponentials or
 * with the chip's unit, and what starts a transfer. Registers of the chip's units are not public: those here are made up.
 */
#include <math.h>
#include <stdint.h>

#define LOOP __attribute__((noinline))

/* ---- csr: a dot product a row */
LOOP void csr(uint32_t rows, const uint32_t *extents, const int32_t *columns, const float *values, const float *x, float *out)
{
    for (uint32_t r = 0; r < rows; r++) {
        float sum = 0;
        for (uint32_t i = extents[r]; i < extents[r + 1]; i++)
            sum += values[i] * x[columns[i]];
        out[r] = sum;
    }
}

LOOP void csr_test(uint32_t rows, const uint32_t *extents, const int32_t *columns, const float *values, const float *x, float *out)
{
    for (uint32_t r = 0; r < rows; r++) {
        float sum = 0;
        for (uint32_t i = extents[r]; i < extents[r + 1]; i++) {
            const float event = x[columns[i]];
            if (event != 0)
                sum += values[i] * event;
        }
        out[r] = sum;
    }
}

LOOP void int8_csr(uint32_t rows, const uint32_t *extents, const uint16_t *columns, const int8_t *values, const int8_t *x, int32_t *out)
{
    for (uint32_t r = 0; r < rows; r++) {
        int32_t sum = 0;
        for (uint32_t i = extents[r]; i < extents[r + 1]; i++)
            sum += values[i] * x[columns[i]];
        out[r] = sum;
    }
}

LOOP void int8_csr_test(uint32_t rows, const uint32_t *extents, const uint16_t *columns, const int8_t *values, const int8_t *x, int32_t *out)
{
    for (uint32_t r = 0; r < rows; r++) {
        int32_t sum = 0;
        for (uint32_t i = extents[r]; i < extents[r + 1]; i++) {
            const int32_t event = x[columns[i]];
            if (event != 0)
                sum += values[i] * event;
        }
        out[r] = sum;
    }
}

/* ---- dense, as `dot`: a dot product a row; as `event`: a loop over what is heard */
LOOP void dense(uint32_t rows, uint32_t width, const float *values, const float *x, float *out)
{
    for (uint32_t r = 0; r < rows; r++) {
        float sum = 0;
        for (uint32_t i = 0; i < width; i++)
            sum += values[r * width + i] * x[i];
        out[r] = sum;
    }
}

LOOP void int8_dense(uint32_t rows, uint32_t width, const int8_t *values, const int8_t *x, int32_t *out)
{
    for (uint32_t r = 0; r < rows; r++) {
        int32_t sum = 0;
        for (uint32_t i = 0; i < width; i++)
            sum += values[r * width + i] * x[i];
        out[r] = sum;
    }
}

LOOP void dense_event(uint32_t rows, uint32_t width, const float *values, const float *x, float *out)
{
    for (uint32_t i = 0; i < width; i++) {
        const float event = x[i];
        if (event != 0) {
            const float *column = values + i * rows;
            for (uint32_t r = 0; r < rows; r++)
                out[r] += column[r] * event;
        }
    }
}

LOOP void int8_dense_event(uint32_t rows, uint32_t width, const int8_t *values, const int8_t *x, int32_t *out)
{
    for (uint32_t i = 0; i < width; i++) {
        const int32_t event = x[i];
        if (event != 0) {
            const int8_t *column = values + i * rows;
            for (uint32_t r = 0; r < rows; r++)
                out[r] += column[r] * event;
        }
    }
}

/* ---- packed: for each event the weights of its column, each with its row */
LOOP void packed(uint32_t events, const uint32_t *keys, const float *heard, const uint32_t *extents, const uint16_t *rows,
                 const float *values, float *out)
{
    for (uint32_t e = 0; e < events; e++) {
        const uint32_t column = keys[e];
        const float event = heard[e];
        for (uint32_t i = extents[column]; i < extents[column + 1]; i++)
            out[rows[i]] += values[i] * event;
    }
}

LOOP void int8_packed(uint32_t events, const uint32_t *keys, const int32_t *heard, const uint16_t *extents, const uint8_t *rows,
                      const int8_t *values, int32_t *out)
{
    for (uint32_t e = 0; e < events; e++) {
        const uint32_t column = keys[e];
        const int32_t event = heard[e];
        for (uint32_t i = extents[column]; i < extents[column + 1]; i++)
            out[rows[i]] += values[i] * event;
    }
}

/* ---- the same on weights of four bits, two to a byte */
static inline int32_t half(const uint8_t *values, uint32_t i)
{
    return (int32_t)((uint32_t)values[i >> 1] << (28 - ((i & 1) << 2))) >> 28;
}

LOOP void int4_csr(uint32_t rows, const uint32_t *extents, const uint16_t *columns, const uint8_t *values, const int8_t *x, int32_t *out)
{
    for (uint32_t r = 0; r < rows; r++) {
        int32_t sum = 0;
        for (uint32_t i = extents[r]; i < extents[r + 1]; i++)
            sum += half(values, i) * x[columns[i]];
        out[r] = sum;
    }
}

LOOP void int4_csr_test(uint32_t rows, const uint32_t *extents, const uint16_t *columns, const uint8_t *values, const int8_t *x, int32_t *out)
{
    for (uint32_t r = 0; r < rows; r++) {
        int32_t sum = 0;
        for (uint32_t i = extents[r]; i < extents[r + 1]; i++) {
            const int32_t event = x[columns[i]];
            if (event != 0)
                sum += half(values, i) * event;
        }
        out[r] = sum;
    }
}

LOOP void int4_dense(uint32_t rows, uint32_t width, const uint8_t *values, const int8_t *x, int32_t *out)
{
    for (uint32_t r = 0; r < rows; r++) {
        int32_t sum = 0;
        for (uint32_t i = 0; i < width; i++)
            sum += half(values, r * width + i) * x[i];
        out[r] = sum;
    }
}

LOOP void int4_dense_event(uint32_t rows, uint32_t width, const uint8_t *values, const int8_t *x, int32_t *out)
{
    for (uint32_t i = 0; i < width; i++) {
        const int32_t event = x[i];
        if (event != 0) {
            const uint8_t *column = values + i * ((rows + 1) / 2);
            for (uint32_t r = 0; r < rows; r++)
                out[r] += half(column, r) * event;
        }
    }
}

LOOP void int4_packed(uint32_t events, const uint32_t *keys, const int32_t *heard, const uint16_t *extents, const uint8_t *rows,
                      const uint8_t *values, int32_t *out)
{
    for (uint32_t e = 0; e < events; e++) {
        const uint32_t column = keys[e];
        const int32_t event = heard[e];
        for (uint32_t i = extents[column]; i < extents[column + 1]; i++)
            out[rows[i]] += half(values, i) * event;
    }
}

/* ---- sums that are added up; traces h = d h + (1 - d) y, compiled without contraction */
LOOP void port_sum(uint32_t rows, const float *sums, float *out)
{
    for (uint32_t r = 0; r < rows; r++)
        out[r] += sums[r];
}

LOOP void trace_element(uint32_t width, float decay, float rest, const float *y, float *trace)
{
    for (uint32_t i = 0; i < width; i++)
        trace[i] = decay * trace[i] + rest * y[i];
}

LOOP void trace_decay(uint32_t width, float decay, float *trace)
{
    for (uint32_t i = 0; i < width; i++)
        trace[i] = decay * trace[i];
}

LOOP void trace_event(uint32_t events, float rest, const uint32_t *keys, const float *heard, float *trace)
{
    for (uint32_t e = 0; e < events; e++)
        trace[keys[e]] += rest * heard[e];
}

/* ---- the same of events of a byte, and the numbers that integer weights multiply */
LOOP void int8_trace_element(uint32_t width, float decay, float rest, const int8_t *y, float *trace)
{
    for (uint32_t i = 0; i < width; i++)
        trace[i] = decay * trace[i] + rest * y[i];
}

LOOP void int8_trace_event(uint32_t events, float rest, const uint32_t *keys, const int8_t *heard, float *trace)
{
    for (uint32_t e = 0; e < events; e++)
        trace[keys[e]] += rest * heard[e];
}

static inline int32_t nearest(float x)
{
    int32_t whole;
    __asm__("vcvtr.s32.f32 %0, %1" : "=t"(x) : "t"(x));
    __builtin_memcpy(&whole, &x, 4);
    return whole;
}

LOOP void trace_number(uint32_t width, float gain, const float *trace, int8_t *numbers)
{
    for (uint32_t i = 0; i < width; i++) {
        int32_t number = nearest(trace[i] * gain);
        if (number > 127)
            number = 127;
        if (number < -127)
            number = -127;
        numbers[i] = number;
    }
}

/* ---- the step of an EGRU: with newlib's exponentials, or, with UNIT, with the chip's, whose registers are made up */
#ifdef UNIT
struct exponential { volatile float argument, result; };
#define EXPONENTIAL ((struct exponential *)0x00800000)
static inline float exponential(float x)
{
    EXPONENTIAL->argument = x;
    return EXPONENTIAL->result;
}
static inline float hyperbolic(float x) { return 1 - 2 / (exponential(x + x) + 1); }
#else
#define exponential expf
#define hyperbolic tanhf
#endif

static inline float sigmoid(float x) { return 1 / (1 + exponential(-x)); }

struct egru { float x[3], h[3], bx[3], bh[3], c, threshold; uint32_t key; };

LOOP uint32_t egru(uint32_t n, struct egru *units, uint32_t *keys, float *values)
{
    uint32_t sent = 0;
    for (uint32_t u = 0; u < n; u++) {
        struct egru *one = units + u;
        const float z = sigmoid(one->x[0] + one->h[0] + one->bx[0] + one->bh[0]);
        const float r = sigmoid(one->x[1] + one->h[1] + one->bx[1] + one->bh[1]);
        const float g = hyperbolic(one->x[2] + one->bx[2] + r * (one->h[2] + one->bh[2]));
        float p = z * one->c + (1 - z) * g;
        const float over = p - one->threshold;
        if (over > 0) {
            keys[sent] = one->key;
            values[sent++] = p;
            p = over;
        }
        one->c = p;
    }
    return sent;
}

/* ---- the same on sums of int8 weights and events, with a scale a row, and an event of one byte */
struct egru_int8 { int32_t x[3], h[3]; float sx[3], sh[3], bx[3], bh[3], c, threshold; uint32_t key; };

LOOP uint32_t egru_int8(uint32_t n, float numbers, struct egru_int8 *units, uint32_t *keys, int8_t *values)
{
    uint32_t sent = 0;
    for (uint32_t u = 0; u < n; u++) {
        struct egru_int8 *one = units + u;
        float x[3], h[3];
        for (int gate = 0; gate < 3; gate++) {
            x[gate] = one->sx[gate] * one->x[gate];
            h[gate] = one->sh[gate] * one->h[gate];
        }
        const float z = sigmoid(x[0] + h[0] + one->bx[0] + one->bh[0]);
        const float r = sigmoid(x[1] + h[1] + one->bx[1] + one->bh[1]);
        const float g = hyperbolic(x[2] + one->bx[2] + r * (h[2] + one->bh[2]));
        float p = z * one->c + (1 - z) * g;
        const float over = p - one->threshold;
        if (over > 0) {
            int32_t number = nearest(p * numbers);
            if (number > 127)
                number = 127;
            if (number != 0) {
                keys[sent] = one->key;
                values[sent++] = number;
                p = over;
            }
        }
        one->c = p;
    }
    return sent;
}

/* ---- the same, with a cell state of one byte */
struct egru_state { int32_t x[3], h[3]; float sx[3], sh[3], bx[3], bh[3], threshold; int32_t c; uint32_t key; };

LOOP uint32_t egru_int8_state(uint32_t n, float numbers, float cells, float a_cell, struct egru_state *units, uint32_t *keys, int8_t *values)
{
    uint32_t sent = 0;
    for (uint32_t u = 0; u < n; u++) {
        struct egru_state *one = units + u;
        float x[3], h[3];
        for (int gate = 0; gate < 3; gate++) {
            x[gate] = one->sx[gate] * one->x[gate];
            h[gate] = one->sh[gate] * one->h[gate];
        }
        const float z = sigmoid(x[0] + h[0] + one->bx[0] + one->bh[0]);
        const float r = sigmoid(x[1] + h[1] + one->bx[1] + one->bh[1]);
        const float g = hyperbolic(x[2] + one->bx[2] + r * (h[2] + one->bh[2]));
        float p = z * (a_cell * *(int8_t *)&one->c) + (1 - z) * g;
        const float over = p - one->threshold;
        if (over > 0) {
            int32_t number = nearest(p * numbers);
            if (number > 127)
                number = 127;
            if (number != 0) {
                keys[sent] = one->key;
                values[sent++] = number;
                p = over;
            }
        }
        int32_t cell = nearest(p * cells);
        if (cell > 127)
            cell = 127;
        if (cell < -127)
            cell = -127;
        *(int8_t *)&one->c = cell;
    }
    return sent;
}

/* ---- what the MAC array's operands are made of: events' bytes by their columns */
LOOP void int8_gather(uint32_t count, const uint16_t *columns, const int8_t *x, int8_t *out)
{
    for (uint32_t i = 0; i < count; i++)
        out[i] = x[columns[i]];
}

LOOP void int8_scatter(uint32_t count, const uint32_t *keys, const int8_t *values, int8_t *x)
{
    for (uint32_t i = 0; i < count; i++)
        x[keys[i]] = values[i];
}

struct gate { float x, h, bias, y; uint32_t key; };

LOOP uint32_t egru_gate(uint32_t n, const struct gate *units, uint32_t *keys, float *values)
{
    uint32_t sent = 0;
    for (uint32_t u = 0; u < n; u++) {
        const struct gate *one = units + u;
        const float gated = sigmoid(one->x + one->h + one->bias) * one->y;
        if (gated != 0) {
            keys[sent] = one->key;
            values[sent++] = gated;
        }
    }
    return sent;
}

struct cell { float x[2], h, gated, bias[2], c, threshold; uint32_t key; };

LOOP uint32_t egru_cell(uint32_t n, struct cell *units, uint32_t *keys, float *values)
{
    uint32_t sent = 0;
    for (uint32_t u = 0; u < n; u++) {
        struct cell *one = units + u;
        const float z = sigmoid(one->x[0] + one->h + one->bias[0]);
        const float g = hyperbolic(one->x[1] + one->gated + one->bias[1]);
        float p = z * one->c + (1 - z) * g;
        const float over = p - one->threshold;
        if (over > 0) {
            keys[sent] = one->key;
            values[sent++] = p;
            p = over;
        }
        one->c = p;
    }
    return sent;
}

/* ---- starting a DMA transfer to each of `count` targets; writing packets. Made-up registers */
struct dma { volatile uint32_t source, target, bytes, start, busy; };
#define DMA ((struct dma *)0x00800000)

struct transfer { uint32_t source, target, bytes, flags; };

LOOP void dma_list(uint32_t count, const struct transfer *list)
{
    for (uint32_t t = 0; t < count; t++) {
        DMA->source = list[t].source;
        DMA->target = list[t].target;
        DMA->bytes = list[t].bytes;
        DMA->start = list[t].flags;
    }
}

LOOP void dma_least(uint32_t count, const uint32_t *targets, uint32_t source, uint32_t bytes)
{
    for (uint32_t t = 0; t < count; t++) {
        DMA->source = source;
        DMA->target = targets[t];
        DMA->bytes = bytes;
        DMA->start = 1;
    }
}

LOOP int dma_driver(const struct transfer *one)
{
    if (!one->bytes || (one->bytes | one->source | one->target) & 15)
        return -1;
    if (DMA->busy)
        return -2;
    DMA->source = one->source;
    DMA->target = one->target;
    DMA->bytes = one->bytes;
    DMA->start = one->flags | 1;
    return 0;
}

LOOP int dma_library(uint32_t count, const uint32_t *targets, uint32_t source, uint32_t bytes)
{
    struct transfer one = {source, 0, bytes, 0};
    int failed = 0;
    for (uint32_t t = 0; t < count; t++) {
        one.target = targets[t];
        failed |= dma_driver(&one);
    }
    return failed;
}

struct comms { volatile uint32_t target, key, payload[4], free; };
#define COMMS ((struct comms *)0x00800040)

LOOP void packets(uint32_t count, uint32_t length, const uint32_t *targets, const uint32_t *words)
{
    for (uint32_t t = 0; t < count; t++) {
        const uint32_t *word = words;
        COMMS->target = targets[t];
        for (uint32_t p = 0; p < length; p++, word += 4) {
            while (!COMMS->free)
                ;
            COMMS->payload[0] = word[0];
            COMMS->payload[1] = word[1];
            COMMS->payload[2] = word[2];
            COMMS->payload[3] = word[3];
            COMMS->key = p;
        }
    }
}

LOOP void packets_least(uint32_t count, uint32_t length, const uint32_t *targets, const uint32_t *words)
{
    for (uint32_t t = 0; t < count; t++) {
        const uint32_t *word = words;
        COMMS->target = targets[t];
        for (uint32_t p = 0; p < length; p++, word += 4) {
            COMMS->payload[0] = word[0];
            COMMS->payload[1] = word[1];
            COMMS->payload[2] = word[2];
            COMMS->payload[3] = word[3];
        }
    }
}

LOOP int packet_driver(uint32_t key, const uint32_t *word)
{
    if (!COMMS->free)
        return -1;
    COMMS->payload[0] = word[0];
    COMMS->payload[1] = word[1];
    COMMS->payload[2] = word[2];
    COMMS->payload[3] = word[3];
    COMMS->key = key;
    return 0;
}

LOOP int packets_library(uint32_t count, uint32_t length, const uint32_t *targets, const uint32_t *words)
{
    int failed = 0;
    for (uint32_t t = 0; t < count; t++) {
        COMMS->target = targets[t];
        for (uint32_t p = 0; p < length; p++)
            failed |= packet_driver(p, words + 4 * p);
    }
    return failed;
}
