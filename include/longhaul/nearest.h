// What somebody may have meant who wrote a word that is not known.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace longhaul {

// The known words most like `word`, at most three of the same likeness; none where nothing is near.
// Upper and lower case, hyphens and underscores count as the same.
std::vector<std::string> nearest(std::string_view word, const std::vector<std::string>& known);

// For the end of a message: "; did you mean 'a' or 'b'?", or nothing. `prefix` is put before each
// word.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& known,
                         std::string_view prefix = "");

}  // namespace longhaul
