// The transportation problem of a capacity-constrained assignment: items with masses, a list of candidates each, and
// for every cluster the least and most mass that it takes. Minimises sum mass * cost.
//
// Dual: one price per cluster; an item goes where cost + price is smallest, and the dual value
//     D(p) = sum_i mass_i min_j (cost_ij + p_j) - sum_j max(p_j high_j, p_j low_j)
// bounds the cost of every solution from below. `improve` climbs it by Newton steps: the second derivative is a
// graph Laplacian over the clusters, whose edge weights count the items near the boundary of two clusters (Merigot,
// "A multiscale approach to optimal transport", 2011; Kitagawa, Merigot and Thibert, 2019). `settle` then moves the
// mass that is still out of place along shortest augmenting paths over the clusters (Ahuja, Magnanti and Orlin,
// "Network Flows", 1993, section 9.7): the result is optimal for the lists. All orders are fixed, so are the results.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

namespace cluscomp {

class Allotment {
 public:
  enum class State { done, more, stuck };

  // mass: (n) or null for all one. low, high: (k), with sum low <= total mass <= sum high.
  Allotment(int64_t n, int64_t k, const int64_t* mass, const int64_t* low, const int64_t* high);

  // Candidates of items [first, first + n), or of the items named; a later list of an item replaces its earlier one.
  void set_lists(const int64_t* items, int64_t first, int64_t n, int64_t length, const int32_t* ids,
                 const float* costs);
  void set_prices(const double* prices);
  const std::vector<double>& prices() const { return prices_; }

  // At most `rounds` Newton steps; false when no more are worth while. All lists must be set.
  bool improve(int rounds, double tolerance);
  double imbalance() const { return imbalance_; }        // mass out of place / total mass, as the prices leave it
  int64_t escaped() const { return escaped_; }           // items whose best value is the last of their list or worse
  const std::vector<int64_t>& sizes() const { return sizes_; }
  const std::vector<int32_t>& best() const { return best_; }
  int64_t n() const { return n_; }
  int64_t k() const { return k_; }
  int64_t total() const { return total_; }

  // Moves mass along at most `paths` augmenting paths. stuck: the lists hold no way; give `stuck_items` longer ones.
  State settle(int64_t paths);
  std::vector<int64_t> stuck_items() const;
  int64_t paths() const { return paths_; }
  int64_t list_length(int64_t item) const { return lists_[item].length; }

  // The cluster of each unit of mass: item by item, each item's units by rising cluster. out: (total mass).
  void write_units(int32_t* out);

 private:
  struct List { int64_t begin; int32_t length; float last; };
  struct Holding { int32_t item, cluster; int64_t amount; int32_t next; };
  struct Entry {
    double diff;  // cost of the new cluster - cost of the old one
    int32_t holding;
    bool operator<(const Entry& o) const { return diff > o.diff || (diff == o.diff && holding > o.holding); }
  };
  struct Pair { int32_t to; std::vector<Entry> heap; };

  int64_t n_, k_, total_;
  std::vector<int64_t> mass_, low_, high_;
  bool shift_free_;
  double fill_;  // share of the room between low and high that all mass takes
  std::vector<List> lists_;
  std::vector<int32_t> ids_;
  std::vector<float> costs_;
  std::vector<double> prices_;

  // of the last evaluation
  bool evaluated_ = false;
  std::vector<int32_t> best_, second_;
  std::vector<float> regret_;
  std::vector<int64_t> sizes_;
  double dual_ = 0, imbalance_ = 1;
  int64_t escaped_ = 0;

  // of the flow; node k is the sink that all clusters deliver to
  bool flowing_ = false;
  std::vector<Holding> holdings_;
  std::vector<int64_t> delivered_, excess_;
  std::vector<std::vector<int32_t>> near_;
  std::vector<Pair> pairs_;
  std::unordered_map<uint64_t, int32_t> pair_of_;
  std::vector<double> distance_;
  std::vector<int32_t> parent_, from_;
  std::vector<char> settled_;
  std::vector<double> built_;  // prices when the pairs were collected
  double window_ = 0, drift_ = 0;
  int widened_ = 0;
  int64_t paths_ = 0;

  int64_t mass(int64_t i) const { return mass_.empty() ? 1 : mass_[i]; }
  void evaluate(const std::vector<double>& prices);
  std::vector<double> gradient() const;
  double target(int64_t j) const;
  double window_for(double share) const;
  std::vector<double> newton_step(double window, int solver_steps) const;
  bool ascend(double window);
  std::vector<double> stepped(const std::vector<double>& step, double scale) const;

  void begin_flow();
  void resume_flow();
  void choose_level();
  void place_items();
  void set_excess();
  void build_pairs();
  void push_edges(int32_t holding);
  float cost_of(int64_t item, int32_t cluster) const;
  int32_t nearest_deficit();
  void relax(int32_t a, int32_t b, double reduced, int32_t pair, std::vector<std::pair<double, int32_t>>& queue);
  const Entry* top_entry(int32_t a, Pair& pair);
  void widen(double distance);
  void raise_prices(double distance);
  void augment(int32_t target);
  void move(int32_t holding, int64_t amount, int32_t cluster);
};

}  // namespace cluscomp
