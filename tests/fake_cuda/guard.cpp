// Lets autograd's engine and PyTorch's device checks accept a CUDA device in a CPU build.
//
// Loaded before libtorch (LD_PRELOAD), so that the functions defined here are found first. A fake
// CUDA tensor has a device and no memory; whoever asks for its device's stream gets the default one,
// and no call waits for anything.
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <optional>

namespace {

class QuietGuard final : public c10::impl::DeviceGuardImplInterface {
 public:
  c10::DeviceType type() const override { return c10::DeviceType::CUDA; }
  c10::Device exchangeDevice(c10::Device) const override { return only_device(); }
  c10::Device getDevice() const override { return only_device(); }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const noexcept override { return only_stream(); }
  c10::Stream getNewStream(c10::Device, int) const override { return only_stream(); }
  c10::Stream exchangeStream(c10::Stream stream) const noexcept override { return stream; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void**, const c10::Stream&, const c10::DeviceIndex,
              const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const c10::DeviceIndex) const noexcept override {}
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}

 private:
  static c10::Device only_device() { return c10::Device(c10::DeviceType::CUDA, 0); }
  static c10::Stream only_stream() { return c10::Stream(c10::Stream::DEFAULT, only_device()); }
};

class QuietHooks final : public at::CUDAHooksInterface {
 public:
  void init() const override {}
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex current_device() const override { return 0; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
};

C10_REGISTER_GUARD_IMPL(CUDA, QuietGuard);

}  // namespace

namespace at::accelerator {

__attribute__((visibility("default"))) std::optional<c10::DeviceType> getAccelerator(bool) {
  return c10::DeviceType::CUDA;
}

__attribute__((visibility("default"))) bool isAccelerator(c10::DeviceType device) {
  return device == c10::DeviceType::CUDA;
}

}  // namespace at::accelerator

namespace at::detail {

__attribute__((visibility("default"))) const CUDAHooksInterface& getCUDAHooks() {
  static QuietHooks hooks;
  return hooks;
}

}  // namespace at::detail
