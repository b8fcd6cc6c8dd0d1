#include "onednn.h"

#ifdef LH_HAVE_ONEDNN

#include <omp.h>

#include <cstring>
#include <dnnl.hpp>
#include <memory>

namespace longhaul {
namespace {

using dnnl::memory;

dnnl::matmul::primitive_desc describe(const dnnl::engine& engine, const memory::desc& a,
                                      const memory::desc& b, const memory::desc& c) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, a, b, c};
#else
  return {dnnl::matmul::desc(a, b, c), engine};
#endif
}

struct Product {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  dnnl::matmul::primitive_desc description;
  dnnl::matmul matmul;
  memory a, b, c;

  Product(memory::data_type a_type, memory::data_type b_type, memory::data_type c_type, int64_t m,
          int64_t k, int64_t n)
      : description(describe(engine, {{m, k}, a_type, memory::format_tag::ab},
                             {{k, n}, b_type, memory::format_tag::any},
                             {{m, n}, c_type, memory::format_tag::ab})),
        matmul(description),
        a(description.src_desc(), engine),
        b(description.weights_desc(), engine),
        c(description.dst_desc(), engine) {
    for (const memory* operand : {&a, &b})
      std::memset(operand->get_data_handle(), 0x3b, operand->get_desc().get_size());
  }

  void run() {
    matmul.execute(stream, {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}});
    stream.wait();
  }
};

}  // namespace

std::optional<std::function<void()>> onednn_product(DType weights, int64_t m, int64_t k,
                                                    int64_t n) {
  using type = memory::data_type;
  omp_set_num_threads(1);
  try {
    const auto product = weights == DType::kBF16
                             ? std::make_shared<Product>(type::bf16, type::bf16, type::f32, m, k, n)
                             : std::make_shared<Product>(type::u8, type::s8, type::s32, m, k, n);
    return [product] { product->run(); };
  } catch (const dnnl::error&) {
    return std::nullopt;
  }
}

}  // namespace longhaul

#else

namespace longhaul {

std::optional<std::function<void()>> onednn_product(DType, int64_t, int64_t, int64_t) {
  return std::nullopt;
}

}  // namespace longhaul

#endif
