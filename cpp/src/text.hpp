// Numbers in messages.
#pragma once

#include <charconv>
#include <string>

namespace veil {

// The shortest decimal that reads back as the same double.
inline std::string shortest(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return {text, end};
}

}  // namespace veil
