#include "mechanisms/hyper_connections.h"

#include "mechanisms/mechanisms_testing.h"

namespace longhaul {
namespace {

using Vector = std::vector<double>;

Vector widened(const std::vector<float>& x) { return {x.begin(), x.end()}; }
double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

struct Parameters {
  std::vector<float> fn, base, scale;
  int64_t iters = 0;
  double eps = 1e-6, norm_eps = 1e-5;
};

Parameters random_parameters(int64_t rows, int64_t width, int64_t n_scales, int64_t iters,
                             uint64_t seed) {
  return {random_floats(rows * width, seed), random_floats(rows, seed + 1),
          random_floats(n_scales, seed + 2), iters};
}

// The definition, one row of streams at a time, in f64.
struct Naive {
  int64_t n, d;
  Vector x, z;  // [n, d]; coefficients of the last reading

  Vector products(const Parameters& p, int64_t rows) const {
    double squares = 0.0;
    for (double v : x) squares += v * v;
    const double factor = 1.0 / std::sqrt(squares / static_cast<double>(n * d) + p.norm_eps);
    Vector out(static_cast<size_t>(rows));
    for (size_t r = 0; r < out.size(); ++r) {
      for (size_t i = 0; i < x.size(); ++i)
        out[r] += double{p.fn[r * x.size() + i]} * x[i] * factor;
    }
    return out;
  }
  Vector weighted() const {
    Vector u(static_cast<size_t>(d));
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t c = 0; c < d; ++c)
        u[static_cast<size_t>(c)] += z[static_cast<size_t>(j)] * x[static_cast<size_t>(j * d + c)];
    }
    return u;
  }
  void write(const float* y) {
    const Vector old = x;
    for (int64_t k = 0; k < n; ++k) {
      for (int64_t c = 0; c < d; ++c) {
        double sum = z[static_cast<size_t>(n + k)] * double{y[c]};
        for (int64_t j = 0; j < n; ++j)
          sum += z[static_cast<size_t>(2 * n + j * n + k)] * old[static_cast<size_t>(j * d + c)];
        x[static_cast<size_t>(k * d + c)] = sum;
      }
    }
  }
  Vector read_head(const Parameters& p) {
    z = products(p, n);
    for (size_t j = 0; j < z.size(); ++j) z[j] = sigmoid(z[j] * p.scale[0] + p.base[j]) + p.eps;
    return weighted();
  }
  Vector read(const Parameters& p) {
    const auto streams = static_cast<size_t>(n);
    z = products(p, stream_coefficients(n));
    for (size_t j = 0; j < streams; ++j) z[j] = sigmoid(z[j] * p.scale[0] + p.base[j]) + p.eps;
    for (size_t j = streams; j < 2 * streams; ++j)
      z[j] = 2.0 * sigmoid(z[j] * p.scale[1] + p.base[j]);
    double* c = z.data() + 2 * n;
    for (size_t i = 2 * streams; i < z.size(); ++i) z[i] = z[i] * p.scale[2] + p.base[i];
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0.0;
      for (int64_t k = 0; k < n; ++k) sum += c[j * n + k] = std::exp(c[j * n + k]);
      for (int64_t k = 0; k < n; ++k) c[j * n + k] = c[j * n + k] / sum + p.eps;
    }
    const auto divide = [&](int64_t stride,
                            int64_t step) {  // sums over `stride`, for each of `step`
      for (int64_t a = 0; a < n; ++a) {
        double sum = p.eps;
        for (int64_t b = 0; b < n; ++b) sum += c[a * step + b * stride];
        for (int64_t b = 0; b < n; ++b) c[a * step + b * stride] /= sum;
      }
    };
    divide(n, 1);
    for (int64_t i = 1; i < p.iters; ++i) {
      divide(1, n);
      divide(n, 1);
    }
    return weighted();
  }
};

HyperResidual residual(TestEnv& t, const Parameters& p, int64_t n, int64_t d) {
  return {.fn = t.matrix(p.fn, stream_coefficients(n), n * d),
          .base = t.vector(p.base),
          .scale = t.vector(p.scale),
          .sinkhorn_iters = p.iters,
          .eps = static_cast<float>(p.eps),
          .norm_eps = static_cast<float>(p.norm_eps)};
}

HyperStreams streams_of(int64_t n, int64_t d, std::vector<float>& x,
                        std::vector<float>& coefficients, std::vector<float>& input) {
  const int64_t rows = static_cast<int64_t>(input.size()) / d;
  return {{x.data(), rows, n * d},
          {coefficients.data(), rows, stream_coefficients(n)},
          {input.data(), rows, d}};
}

// A matrix worked out by hand from the released configuration's iterations.
TEST(HyperConnections, SinkhornOfKnownLogits) {
  const std::vector<float> logits = {2,  0,   -1, .5f, 0,    1.5f, .25f, -2,
                                     -1, .5f, 3,  0,   .75f, -.5f, 0,    1};
  const std::vector<double> expected = {.6113858, .1003277, .0222394, .2660468, .1309554, .7116283,
                                        .1228502, .0345649, .0193716, .1052632, .7726740, .1026893,
                                        .2382862, .0827798, .0822354, .5966980};
  for (const KernelSet* set : all_kernel_sets()) {
    TestEnv t(*set);
    Parameters p{std::vector<float>(24 * 4), std::vector<float>(24), {1, 1, 1}, 20};
    std::copy(logits.begin(), logits.end(), p.base.begin() + 8);
    p.base[1] = 2.0f;
    p.base[6] = -1.0f;
    std::vector<float> x = {1, 2, 3, 4}, coefficients(24), input(1);
    hyper_connect(t.env, {}, residual(t, p, 4, 1), streams_of(4, 1, x, coefficients, input));
    for (size_t i = 0; i < 16; ++i)
      EXPECT_NEAR(coefficients[8 + i], expected[i], 1e-6) << set->name << " " << i;
    EXPECT_NEAR(coefficients[0], 0.5 + 1e-6, 1e-7);
    EXPECT_NEAR(coefficients[1], 0.880797078 + 1e-6, 1e-7) << "reading adds eps";
    EXPECT_NEAR(coefficients[4], 1.0, 1e-7) << "writing is twice the sigmoid, without eps";
    EXPECT_NEAR(coefficients[6], 2 * 0.268941421, 1e-7);
    EXPECT_EQ(x, (std::vector<float>{1, 2, 3, 4})) << "nothing was there to write";
  }
}

// Two blocks and the head.
void expect_naive(const KernelSet& set, int64_t n, int64_t d, int64_t rows, int64_t iters) {
  TestEnv t(set, 2);
  const std::string what =
      std::string(set.name) + ", " + std::to_string(n) + " streams of " + std::to_string(d);
  const Parameters first = random_parameters(stream_coefficients(n), n * d, 3, iters, 1),
                   second = random_parameters(stream_coefficients(n), n * d, 3, iters, 5),
                   head = random_parameters(n, n * d, 1, 0, 9);
  const HyperCollapse collapse{.fn = t.matrix(head.fn, n, n * d),
                               .base = t.vector(head.base),
                               .scale = t.vector(head.scale),
                               .eps = static_cast<float>(head.eps),
                               .norm_eps = static_cast<float>(head.norm_eps)};
  std::vector<float> x = random_floats(rows * n * d, 20), y = random_floats(rows * d, 21),
                     y2 = random_floats(rows * d, 22);
  std::vector<float> coefficients(static_cast<size_t>(rows * stream_coefficients(n)), -7.0f),
      input(static_cast<size_t>(rows * d), -7.0f);
  std::vector<Naive> expected;
  for (int64_t r = 0; r < rows; ++r)
    expected.push_back({n, d, widened({x.begin() + r * n * d, x.begin() + (r + 1) * n * d}), {}});
  const HyperStreams streams = streams_of(n, d, x, coefficients, input);
  // A coefficient's logit is a sum of n d products of size up to 1, whose rounding errors add up
  // like the square root of their number.
  const double bound = 2e-6 + 2e-6 * std::sqrt(static_cast<double>(n * d));
  const auto check = [&](const char* step, const auto& read) {
    for (int64_t r = 0; r < rows; ++r) {
      const Vector u = read(expected[static_cast<size_t>(r)], r);
      for (int64_t c = 0; c < d; ++c) {
        const auto i = static_cast<size_t>(r * d + c);
        ASSERT_NEAR(input[i], u[static_cast<size_t>(c)], bound)
            << what << " " << step << " row " << r;
      }
      for (int64_t i = 0; i < n * d; ++i)
        ASSERT_NEAR(x[static_cast<size_t>(r * n * d + i)],
                    expected[static_cast<size_t>(r)].x[static_cast<size_t>(i)], bound)
            << what << " " << step;
    }
  };
  hyper_connect(t.env, {}, residual(t, first, n, d), streams);
  check("first", [&](Naive& row, int64_t) { return row.read(first); });
  hyper_connect(t.env, {y.data(), rows, d}, residual(t, second, n, d), streams);
  check("second", [&](Naive& row, int64_t r) {
    row.write(y.data() + r * d);
    return row.read(second);
  });
  hyper_connect(t.env, {y2.data(), rows, d}, collapse, streams);
  check("head", [&](Naive& row, int64_t r) {
    row.write(y2.data() + r * d);
    return row.read_head(head);
  });
}

TEST(HyperConnections, StreamsAreReadWrittenAndMixed) {
  for (const KernelSet* set : all_kernel_sets()) {
    for (int64_t n : {2, 3, 4, 8}) {
      for (int64_t d : {1, 5, 48, 600}) expect_naive(*set, n, d, 3, 20);
    }
    for (int64_t rows : {1, 7, 8, 9, 17}) expect_naive(*set, 4, 16, rows, 20);
    for (int64_t iters : {1, 2, 3}) expect_naive(*set, 4, 16, 2, iters);
  }
}

TEST(HyperConnections, ARowDoesNotDependOnItsNeighboursOrOnThreads) {
  const int64_t n = 4, d = 40, rows = 19;
  const Parameters p = random_parameters(stream_coefficients(n), n * d, 3, 20, 3);
  const auto x0 = random_floats(rows * n * d, 30), y = random_floats(rows * d, 31);
  for (const KernelSet* set : all_kernel_sets()) {
    // In one go on two threads, or row by row on one.
    std::vector<std::vector<float>> inputs;
    for (const bool together : {true, false}) {
      TestEnv t(*set, together ? 2 : 1);
      const HyperResidual r = residual(t, p, n, d);
      std::vector<float> x = x0, coefficients(static_cast<size_t>(rows * stream_coefficients(n))),
                         input(static_cast<size_t>(rows * d));
      const int64_t step = together ? rows : 1;
      for (int64_t row = 0; row < rows; row += step) {
        const HyperStreams all = streams_of(n, d, x, coefficients, input);
        const HyperStreams s{all.x.slice(row, step), all.coefficients.slice(row, step),
                             all.input.slice(row, step)};
        hyper_connect(t.env, {}, r, s);
        hyper_connect(t.env, {y.data() + row * d, step, d}, r, s);
      }
      input.insert(input.end(), x.begin(), x.end());
      inputs.push_back(input);
    }
    EXPECT_TRUE(bitwise_equal(inputs[0], inputs[1])) << set->name;
  }
}

TEST(HyperConnections, FlopsAreThoseOfTheFormulas) {
  TestEnv t;
  const int64_t n = 4, d = 6;
  const Parameters p = random_parameters(stream_coefficients(n), n * d, 3, 2, 3);
  const HyperResidual r = residual(t, p, n, d);
  auto x = random_floats(2 * n * d, 1);
  const auto y = random_floats(2 * d, 2);
  std::vector<float> coefficients(2 * 24), input(2 * 6);
  hyper_connect(t.env, {}, r, streams_of(n, d, x, coefficients, input));
  EXPECT_EQ(t.env.flops, 2u * (2 * 24 * 24 + 2 * 24));  // fn, reading
  hyper_connect(t.env, {y.data(), 2, d}, r, streams_of(n, d, x, coefficients, input));
  EXPECT_EQ(t.env.flops, 2u * (2 * (2 * 24 * 24 + 2 * 24) + 2 * 24 +
                               2 * 4 * 24));  // and writing: y to each, each to each
}

}  // namespace
}  // namespace longhaul
