/* The loop of the format `conv` over one section's events, as it would run on the PE's Cortex-M4F: the shard's outputs are a run of a
   window, stride and dilation are 1, nothing is listed and there is one lane. With a pool or a stride, divisions are added: by a
   constant that the compiler does not know. */
#include <stdint.h>

#ifdef INT8
typedef int8_t weight_t;
typedef int32_t sum_t;
#else
typedef float weight_t;
typedef float sum_t;
#endif

typedef struct {
    int32_t height, width, of_group, pool_rows, pool_columns, kernel_rows, kernel_columns, stride_rows, stride_columns, top, left;
    int32_t channels, first_row, rows, first_column, columns, skip, size;
} window_t;

void conv_events(const weight_t *values, const window_t *w, const uint16_t *channels, sum_t *sums, const uint32_t *keys,
                 const sum_t *events, int count) {
    const uint32_t size = w->size;
    for (int e = 0; e < count; e++) {
        const int unit = keys[e], plane = w->height * w->width, channel = unit / plane, rest = unit - channel * plane;
        const int row = rest / w->width, column = rest - row * w->width;
        const int group = channel / w->of_group, first = channels[group], last = channels[group + 1];
        const int down = row / w->pool_rows + w->top, right = column / w->pool_columns + w->left;
        const int area = w->rows * w->columns, base = (channel - group * w->of_group) * w->kernel_rows;
        const sum_t event = events[e];
        int top = (down - w->kernel_rows + w->stride_rows) / w->stride_rows, bottom = down / w->stride_rows;
        int left = (right - w->kernel_columns + w->stride_columns) / w->stride_columns, end = right / w->stride_columns;
        if (top < w->first_row) top = w->first_row;
        if (bottom >= w->first_row + w->rows) bottom = w->first_row + w->rows - 1;
        if (left < w->first_column) left = w->first_column;
        if (end >= w->first_column + w->columns) end = w->first_column + w->columns - 1;
        for (int y = top; y <= bottom; y++) {
            const int line = (base + down - y * w->stride_rows) * w->kernel_columns;
            const int start = first * area + (y - w->first_row) * w->columns - w->first_column - w->skip;
            for (int x = left; x <= end; x++) {
                const weight_t *kernel = values + (line + right - x * w->stride_columns) * w->channels;
                int place = start + x;
                for (int own = first; own < last; own++) {
                    if ((uint32_t)place < size) sums[place] += kernel[own] * event;
                    place += area;
                }
            }
        }
    }
}
