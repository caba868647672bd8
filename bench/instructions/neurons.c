/* The step of spiking neurons as a PE's core would make it, one function a way to integrate, fire and reset (models/kernels).
 *
 * Parameters and state of a unit lie side by side. Each way is compiled for itself, as a program for one population would be.
 * A function steps n units on their sums, writes the keys of those that fire (and how often, where that is told), and returns
 * how many fired. Compiled without contraction: a VFMA would round once where the models round twice.
 */
#include <stdint.h>

enum form { DECAY, DIFFERENCE, QUOTIENT_INPUT, QUOTIENT };
enum synapse { NO_SYNAPSE, SYNAPSE_DECAY, SYNAPSE_DIFFERENCE, SUM_FIRST };
enum reset { ZERO, SUBTRACT, LATE, NO_DELAY, ZERO_LATE };

struct unit {
    float i, v, synapse_rate, synapse_gain, rate, gain, leak, bias, threshold, reset;
    uint32_t key;
};

struct whole_unit {
    int32_t v, bias, threshold, reset;
    uint32_t key;
};

static inline __attribute__((always_inline)) float charge(enum form form, float v, float x, float rate, float leak)
{
    switch (form) {
    case DIFFERENCE: return v + rate * ((x + leak) - v);
    case QUOTIENT_INPUT: return v + (x - (v - leak)) / rate;
    case QUOTIENT: return (v - (v - leak) / rate) + x;
    default: return (rate * v + x) + leak;
    }
}

static inline __attribute__((always_inline)) int fires(float v, float threshold, int inclusive)
{
    return inclusive ? v >= threshold : v > threshold;
}

static inline __attribute__((always_inline)) int spikes_of(float v, float threshold, int inclusive, int many)
{
    if (__builtin_expect(!fires(v, threshold, inclusive), 1))
        return 0;
    if (!many)
        return 1;
    int spikes = (int)(v / threshold);
    return spikes > 65535 ? 65535 : spikes;
}

static inline __attribute__((always_inline)) float hear(enum synapse synapse, struct unit *one, float x)
{
    if (synapse == NO_SYNAPSE)
        return x;
    if (synapse == SYNAPSE_DIFFERENCE)
        one->i = one->i + one->synapse_rate * (x - one->i);
    else if (synapse == SUM_FIRST)
        one->i = one->synapse_rate * (one->i + x);
    else
        one->i = one->synapse_rate * one->i + x;
    return one->gain * one->i;
}

#define SPIKING(NAME, SUM, SYNAPSE, FORM, RESET, INCLUSIVE, MANY, FLOOR)                                                       \
    uint32_t NAME(uint32_t n, struct unit *restrict units, const SUM *restrict sums, uint32_t *restrict keys,                  \
                  uint16_t *restrict often)                                                                                    \
    {                                                                                                                          \
        uint32_t sent = 0;                                                                                                     \
        for (uint32_t u = 0; u < n; u++) {                                                                                     \
            struct unit *one = units + u;                                                                                      \
            float x = (SYNAPSE == NO_SYNAPSE ? one->gain : one->synapse_gain) * ((float)sums[u] + one->bias);                  \
            float old = one->v, threshold = one->threshold;                                                                    \
            x = hear(SYNAPSE, one, x);                                                                                         \
            int earlier = RESET >= LATE ? spikes_of(old, threshold, INCLUSIVE, MANY) : 0;                                      \
            float v = charge(FORM, old, x, one->rate, one->leak);                                                              \
            if ((RESET == LATE || RESET == NO_DELAY) && __builtin_expect(earlier, 0))                                          \
                v = MANY ? v - (float)earlier * threshold : v - threshold;                                                     \
            if (RESET == ZERO_LATE && __builtin_expect(earlier, 0))                                                            \
                v = one->reset;                                                                                                \
            int spikes = spikes_of(v, threshold, INCLUSIVE, MANY);                                                             \
            if (__builtin_expect(spikes, 0)) {                                                                                 \
                keys[sent] = one->key;                                                                                         \
                if (MANY)                                                                                                      \
                    often[sent] = (uint16_t)spikes;                                                                            \
                sent++;                                                                                                        \
                if (RESET == ZERO)                                                                                             \
                    v = one->reset;                                                                                            \
                if (RESET == SUBTRACT)                                                                                         \
                    v = MANY ? v - (float)spikes * threshold : v - threshold;                                                  \
            }                                                                                                                  \
            if (RESET == NO_DELAY && spikes != earlier)                                                                        \
                v = v - (float)(spikes - earlier) * threshold;                                                                 \
            if (FLOOR) {                                                                                                       \
                float above = v + threshold;                                                                                   \
                v = (above > 0 ? above : 0) - threshold;                                                                       \
            }                                                                                                                  \
            one->v = v;                                                                                                        \
        }                                                                                                                      \
        return sent;                                                                                                           \
    }

#define SILENT(NAME, SUM, SYNAPSE, FORM)                                                                                       \
    uint32_t NAME(uint32_t n, struct unit *restrict units, const SUM *restrict sums, float *restrict values)                   \
    {                                                                                                                          \
        for (uint32_t u = 0; u < n; u++) {                                                                                     \
            struct unit *one = units + u;                                                                                      \
            float x = (SYNAPSE == NO_SYNAPSE ? one->gain : one->synapse_gain) * ((float)sums[u] + one->bias);                  \
            x = hear(SYNAPSE, one, x);                                                                                         \
            values[u] = one->v = charge(FORM, one->v, x, one->rate, one->leak);                                                \
        }                                                                                                                      \
        return n;                                                                                                              \
    }

#define WHOLE(NAME, RESET, INCLUSIVE, MANY)                                                                                    \
    uint32_t NAME(uint32_t n, struct whole_unit *restrict units, const int32_t *restrict sums, uint32_t *restrict keys,        \
                  uint16_t *restrict often)                                                                                    \
    {                                                                                                                          \
        uint32_t sent = 0;                                                                                                     \
        for (uint32_t u = 0; u < n; u++) {                                                                                     \
            struct whole_unit *one = units + u;                                                                                \
            int32_t old = one->v, threshold = one->threshold, v = old + sums[u] + one->bias;                                   \
            if (RESET == LATE && __builtin_expect(INCLUSIVE ? old >= threshold : old > threshold, 0))                          \
                v -= threshold;                                                                                                \
            if (__builtin_expect(INCLUSIVE ? v >= threshold : v > threshold, 0)) {                                             \
                int32_t spikes = MANY ? v / threshold : 1;                                                                     \
                keys[sent] = one->key;                                                                                         \
                if (MANY)                                                                                                      \
                    often[sent] = (uint16_t)(spikes > 65535 ? 65535 : spikes);                                                 \
                sent++;                                                                                                        \
                if (RESET == ZERO)                                                                                             \
                    v = one->reset;                                                                                            \
                if (RESET == SUBTRACT)                                                                                         \
                    v -= spikes * threshold;                                                                                   \
            }                                                                                                                  \
            one->v = v;                                                                                                        \
        }                                                                                                                      \
        return sent;                                                                                                           \
    }

SPIKING(lif_decay_zero, float, NO_SYNAPSE, DECAY, ZERO, 0, 0, 0)
SPIKING(lif_decay_subtract, float, NO_SYNAPSE, DECAY, SUBTRACT, 0, 0, 0)
SPIKING(lif_decay_late, float, NO_SYNAPSE, DECAY, LATE, 0, 0, 0)
SPIKING(lif_decay_no_delay, float, NO_SYNAPSE, DECAY, NO_DELAY, 0, 0, 0)
SPIKING(lif_decay_subtract_int8, int32_t, NO_SYNAPSE, DECAY, SUBTRACT, 0, 0, 0)
SPIKING(lif_decay_late_int8, int32_t, NO_SYNAPSE, DECAY, LATE, 0, 0, 0)
SPIKING(lif_decay_many, float, NO_SYNAPSE, DECAY, SUBTRACT, 1, 1, 0)
SPIKING(lif_decay_many_floor, float, NO_SYNAPSE, DECAY, SUBTRACT, 1, 1, 1)
SPIKING(lif_difference_zero, float, NO_SYNAPSE, DIFFERENCE, ZERO, 0, 0, 0)
SPIKING(lif_quotient_input_zero, float, NO_SYNAPSE, QUOTIENT_INPUT, ZERO, 1, 0, 0)
SPIKING(lif_quotient_zero, float, NO_SYNAPSE, QUOTIENT, ZERO, 1, 0, 0)
SPIKING(cuba_lif_decay_late, float, SYNAPSE_DECAY, DECAY, LATE, 0, 0, 0)
SPIKING(cuba_lif_decay_subtract_int8, int32_t, SYNAPSE_DECAY, DECAY, SUBTRACT, 0, 0, 0)
SPIKING(cuba_lif_difference_zero, float, SYNAPSE_DIFFERENCE, DIFFERENCE, ZERO, 0, 0, 0)
SPIKING(cuba_lif_difference_subtract, float, SYNAPSE_DIFFERENCE, DIFFERENCE, SUBTRACT, 0, 0, 0)
SPIKING(cuba_lif_sum_first_many, float, SUM_FIRST, DECAY, SUBTRACT, 1, 1, 0)
SILENT(li_decay, float, NO_SYNAPSE, DECAY)
SILENT(li_decay_int8, int32_t, NO_SYNAPSE, DECAY)
SILENT(li_difference, float, NO_SYNAPSE, DIFFERENCE)
SILENT(li_quotient, float, NO_SYNAPSE, QUOTIENT)
SILENT(cuba_li_decay, float, SYNAPSE_DECAY, DECAY)
SILENT(cuba_li_difference, float, SYNAPSE_DIFFERENCE, DIFFERENCE)
WHOLE(iaf_zero, ZERO, 0, 0)
WHOLE(iaf_subtract, SUBTRACT, 0, 0)
WHOLE(iaf_late, LATE, 0, 0)
WHOLE(iaf_many, SUBTRACT, 1, 1)
