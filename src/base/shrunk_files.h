// What a program does where a mapped file becomes shorter under it: the pages behind its new end
// are gone, and reading one raises SIGBUS (longhaul/process.h, end_when_files_shrink).
//
// Whoever maps a file says so here, and whoever writes under a temporary name: a signal handler can
// name the file that a fault belongs to, and leaves no half-written file behind.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace longhaul {

void note_mapping(std::span<const std::byte> bytes, const std::string& path);
void forget_mapping(std::span<const std::byte> bytes);

void note_temporary_file(const std::string& path);
void forget_temporary_file(const std::string& path);

}  // namespace longhaul
