// Weights at rest: one owner of what a checkpoint's files hold, by weight of the description.
// Whether they have to be packed or are packed already, loader, expert cache and quantizer ask
// this.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "formats/tensor_source.h"
#include "kernels/codecs/codec.h"
#include "mechanisms/weight_format.h"

namespace longhaul {

// In which formats a model's weights can be kept.
struct FormatChoice {
  WeightFormat natural = WeightFormat::kBF16;  // unless the user says otherwise
  bool is_only = false;                        // the files can be read in no other
  // The types of matrices of integers, "Q5_0 and Q8_0": blocks that are multiplied as they are, and
  // codes that have to be unpacked. Empty where there are none.
  std::string blocks = {}, codes = {};

  // option: the command line's spelling, "auto" for the natural one. where: names the model in
  // messages. Formats are over the types that the files hold, where there are files.
  Result<WeightFormat> choose(const std::string& option, const std::string& where) const;
  // A notice of what becomes of such matrices where their values are not kept.
  void tell_of_rounding(const WeightFormat& format, const std::string& where) const;
};

// Rows [first, first + n) of one matrix of a weight: of expert e of a mixture, else e is 0.
struct MatrixRows {
  WeightId weight = kNone;
  int64_t expert = 0;
  int64_t first = 0, n = 0;  // first is a multiple of kPanel
};

// Rows of all matrices of a weight, one after another: pieces of about a million elements, of whole
// panels, which threads can bring side by side.
std::vector<MatrixRows> pieces_of(WeightId id, const WeightSpec& weight);

// Owns the files. Ids are those of the description that its tensors were matched with. Any number
// of threads may call it.
class WeightSource {
 public:
  virtual ~WeightSource() = default;

  const TensorSource& tensors() const { return tensors_; }
  const FormatChoice& formats() const { return formats_; }

  // What a weight is read from: its tensor; the first one where experts stand in tensors of their
  // own; the tensor of its panels where it is packed.
  virtual const TensorInfo& tensor(WeightId id) const = 0;
  // A matrix (one after another of all experts) as kernels read it, where the file is mapped. Empty
  // where it has to be brought.
  virtual std::span<const std::byte> panels(WeightId id) const = 0;

  // Packs or reads rows into `out`, where the first one's panel begins. What rounding did to them;
  // an error names the tensor. Takes no lock and no heap.
  //   codec    what loading chose for the weight (packed_codec)
  //   widened  scratch [kPanel, cols]
  virtual Result<QuantError> bring(const MatrixRows& rows, const Codec& codec, std::byte* out,
                                   float* widened) const = 0;
  virtual uint64_t stored_bytes(const MatrixRows& rows) const = 0;  // that bring() reads
  // Tells the system that the rows are wanted soon, or that they have been brought.
  virtual void will_need(const MatrixRows& rows) const = 0;
  virtual void drop(const MatrixRows& rows) const = 0;

 protected:
  WeightSource(TensorSource tensors, FormatChoice formats)
      : tensors_(std::move(tensors)), formats_(std::move(formats)) {}

 private:
  TensorSource tensors_;
  FormatChoice formats_;
};

}  // namespace longhaul
