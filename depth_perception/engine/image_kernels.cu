// From a camera image to what a network eats: systems.network_input.prepare, the same arithmetic as OpenCV's, to the last level.
// NVRTC compiles this for the GPU of the machine (engine.kernels); the tests also compile it as C++ and run it on the CPU.
// Nothing of CUDA's headers is needed: an image has 256 levels, and what each is to the network comes as a table in the network's own type.
// Functions are not inlined where that would only take longer to compile.

typedef unsigned char byte;

// What lies between two neighbours of a row or column, and the share of the first, in 2048ths.
struct Between {
    int first, second, share, other;
};

__device__ Between between(int first, float fraction, int size) {
    int second = first + 1 < size ? first + 1 : size - 1;
    return {first > 0 ? first : 0, second, (int)rintf((1.0f - fraction) * 2048.0f), (int)rintf(fraction * 2048.0f)};
}

// Pixels of before for one of now; from its inverse, as OpenCV finds it, for the last bit decides where a pixel begins.
__device__ double scale_of(int to, int from) { return 1.0 / ((double)to / from); }

// Pixel `at` of `to` that stand where `from` stood: INTER_LINEAR.
__device__ __noinline__ Between linear(int at, int to, int from) {
    float place = (float)((at + 0.5) * scale_of(to, from) - 0.5);
    int first = (int)floorf(place);
    return between(first, place - first, from);
}

// INTER_AREA where there are more pixels than there were: flat, with a ramp only where two of them meet.
__device__ Between flat(int at, int to, int from) {
    int first = (int)floor(at * scale_of(to, from));
    float past = (float)((at + 1) - (first + 1) * ((double)to / from));
    return between(first, past <= 0 ? 0 : past - floorf(past), from);
}

__device__ __noinline__ int blend(const byte* image, int width, Between y, Between x, int channel) {
    const byte* upper = image + (long long)y.first * width * 3 + channel;
    const byte* lower = image + (long long)y.second * width * 3 + channel;
    int above = upper[x.first * 3] * x.share + upper[x.second * 3] * x.other;
    int below = lower[x.first * 3] * x.share + lower[x.second * 3] * x.other;
    return (((y.share * (above >> 4)) >> 16) + ((y.other * (below >> 4)) >> 16) + 2) >> 2;
}

// The pixels of a row or column that one of fewer pixels covers: all of them weigh the same but the first and the last.
struct Cover {
    int first, last;
    float head, body, tail;
};

__device__ __noinline__ Cover cover(int at, int to, int from) {
    double scale = scale_of(to, from), begin = at * scale, end = begin + scale;
    double size = scale < from - begin ? scale : from - begin;
    int inner = (int)ceil(begin), outer = (int)floor(end);
    outer = outer < from - 1 ? outer : from - 1;
    inner = inner < outer ? inner : outer;
    bool head = inner - begin > 1e-3, tail = end - outer > 1e-3;
    double rest = end - outer < 1 ? end - outer : 1;
    rest = rest < size ? rest : size;
    float body = (float)(1 / size);
    return {head ? inner - 1 : inner, tail ? outer : outer - 1, head ? (float)((inner - begin) / size) : body, body,
            tail ? (float)(rest / size) : body};
}

__device__ float weight(Cover cover, int at) { return at == cover.first ? cover.head : at == cover.last ? cover.tail : cover.body; }

__device__ int mean(const byte* image, int width, Cover y, Cover x, int channel) {
    float sum = 0;
    for (int row = y.first; row <= y.last; row++) {
        float along = 0;
        for (int column = x.first; column <= x.last; column++)
            along += image[((long long)row * width + column) * 3 + channel] * weight(x, column);
        sum += along * weight(y, row);
    }
    int level = (int)rintf(sum);
    return level > 255 ? 255 : level;
}

__device__ int mean_of_four(const byte* image, int width, int y, int x, int channel) {
    const byte* upper = image + ((long long)2 * y * width + 2 * x) * 3 + channel;
    const byte* lower = upper + (long long)width * 3;
    return (upper[0] + upper[3] + lower[0] + lower[3] + 2) >> 2;
}

// One channel of a pixel of the small image. The same choices as prepare's, and those that OpenCV makes by itself.
__device__ __noinline__ int level(const byte* image, int height, int width, int y, int x, int h, int w, int channel) {
    if (height == 2 * h && width == 2 * w) return mean_of_four(image, width, y, x, channel);
    if (height >= 2 * h && width >= 2 * w) {
        int sum = 0;
        for (int row = 2 * y; row < 2 * y + 2; row++)
            for (int column = 2 * x; column < 2 * x + 2; column++)
                sum += height == 4 * h && width == 4 * w ? mean_of_four(image, width, row, column, channel)
                                                         : blend(image, width, linear(row, 2 * h, height), linear(column, 2 * w, width), channel);
        return (sum + 2) >> 2;
    }
    if (height <= h) return blend(image, width, linear(y, h, height), linear(x, w, width), channel);
    if (width < w) return blend(image, width, flat(y, h, height), flat(x, w, width), channel);
    return mean(image, width, cover(y, h, height), cover(x, w, width), channel);
}

// image: (height, width, 3) bytes. levels: 256 values. prepared: (3, h, w) of them. A thread for each pixel.
template <typename Value>
__device__ void prepare(const byte* image, int height, int width, const Value* levels, Value* prepared, int h, int w) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= w || y >= h) return;
    for (int channel = 0; channel < 3; channel++)
        prepared[(channel * h + y) * w + x] = levels[level(image, height, width, y, x, h, w, channel)];
}

extern "C" __global__ void prepare_float32(const byte* image, int height, int width, const float* levels, float* prepared, int h, int w) {
    prepare(image, height, width, levels, prepared, h, w);
}

// Half floats are only carried, never computed with: sixteen bits are sixteen bits.
extern "C" __global__ void prepare_float16(const byte* image, int height, int width, const unsigned short* levels,
                                           unsigned short* prepared, int h, int w) {
    prepare(image, height, width, levels, prepared, h, w);
}
