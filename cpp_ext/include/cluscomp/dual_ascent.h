// Capacity-constrained assignment as a transportation problem: items with masses, a list of candidate clusters for
// each, and for every cluster the least and the most mass that it takes. Minimises sum mass * cost.
//
// Dual: one price per cluster; an item goes where cost + price is smallest, and the dual value
//     D(p) = sum_i mass_i min_j (cost_ij + p_j) - sum_j max(p_j high_j, p_j low_j)
// bounds the cost of every solution from below. `improve` climbs it by Newton steps: the second derivative is a
// graph Laplacian over the clusters, whose edge weights count the items near the boundary of two clusters (Merigot,
// "A multiscale approach to optimal transport", 2011; Kitagawa, Merigot and Thibert, 2019).
//
// A list holds the best clusters under the prices of its making. It is only valid while no other price falls so far
// that another cluster becomes better: so prices fall no further than most lists stay valid, and `is_short` asks for
// new ones.
//
// `settle` then moves the mass that is still out of place along shortest augmenting paths over the clusters, many at a
// time (Ahuja, Magnanti and Orlin, "Network Flows", 1993, sections 9.7 and 9.8): the result is optimal for the lists.
// All orders are fixed, so the results are too.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace cluscomp {

class DualAscent {
 public:
  enum class State { done, more, stalled };

  // mass: (n) or null for all one. low, high: (k), with sum low <= total mass <= sum high.
  DualAscent(int64_t n, int64_t k, const int64_t* mass, const int64_t* low, const int64_t* high);

  // Candidates of items [first, first + n), or of the items named; a later list of an item replaces its earlier one.
  void set_lists(const int64_t* items, int64_t first, int64_t n, int64_t length, const int32_t* ids,
                 const float* costs);
  void set_prices(const double* prices);  // before the first lists
  void drop_lists();        // before all lists are recomputed under the current prices; the flow continues with them
  int64_t count_escaped();  // `escaped` under the current prices
  // (k); where the bounds leave a cluster's size open, its price is relative to a price of zero for any size.
  std::vector<double> prices() const;

  // Takes at most `rounds` Newton steps; false when more would gain little. All lists must be set.
  bool improve(int rounds, double tolerance);
  double imbalance() const { return imbalance_; }  // mass out of place / total mass, under the prices
  int64_t escaped() const { return escaped_; }     // items whose best cluster may not be on their list
  bool is_short() const { return is_short_; }  // the last step was cut short, since lists would not be valid beyond it
  const std::vector<int64_t>& sizes() const { return sizes_; }
  const std::vector<int32_t>& best() const { return best_; }
  int64_t n() const { return n_; }
  int64_t k() const { return k_; }
  int64_t total() const { return total_; }

  // Takes at most so many rounds of paths: done when no more than `rest` is out of place, stalled when no list leads
  // on.
  State settle(int64_t rounds, int64_t rest);
  // Between two calls of `settle`: how much of the mass out of place each cluster could still take within its bounds.
  std::vector<int64_t> wanted() const;
  // Moves one unit of each item from its cluster `sources` to `targets`, which may be outside its list; its cost there
  // is higher by `diffs`.
  void pull(int64_t n, const int64_t* items, const int32_t* sources, const int32_t* targets, const double* diffs);
  int64_t out_of_place() const;
  int64_t paths() const { return paths_; }

  // The cluster of each unit of mass: item by item, each item's units by rising cluster. out: (total mass).
  void write_units(int32_t* out);

 private:
  struct List {
    int64_t begin;
    int32_t length;
    float last;  // cost + base_ price of its last entry: no cluster outside the list is below it
  };
  struct Holding {
    int32_t item, cluster;
    int64_t amount;
    int32_t next;
    float cost;
  };
  using Queue = std::vector<std::pair<double, int32_t>>;

  int64_t n_, k_, total_;
  std::vector<int64_t> mass_, low_, high_;
  bool shift_free_;
  double fill_;  // share of the room between low and high that all mass takes
  std::vector<List> lists_;
  int64_t listed_ = 0;  // items that have a list
  std::vector<int32_t> ids_;
  std::vector<float> costs_;
  std::vector<double> prices_, base_;  // base_: when the lists were made
  double reach_ = -1;  // how far prices may fall below base_, relative to their mean; -1: not computed yet
  bool is_short_ = false;

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
  std::vector<std::vector<int32_t>> members_;  // holdings of each cluster; some have left
  std::vector<int64_t> delivered_, excess_;
  std::vector<double> distance_;
  std::vector<int32_t> parent_, from_;  // on the way to a node: the holding that moves there, and from where
  std::vector<char> settled_;
  int64_t paths_ = 0;

  int64_t mass(int64_t i) const { return mass_.empty() ? 1 : mass_[i]; }
  void evaluate(const std::vector<double>& prices);
  std::vector<double> gradient() const;
  double target(int64_t j) const;
  double find_reach() const;
  double window_for(double share) const;
  std::vector<double> newton_step(double window, int solver_steps) const;
  bool ascend(double window);
  std::vector<double> stepped(const std::vector<double>& step, double scale);

  void begin_flow();
  void resume_flow();
  void choose_level();
  void place_items();
  void set_excess();
  float cost_of(int64_t item, int32_t cluster) const;
  void extend_list(int64_t item, int32_t cluster, float cost);
  std::vector<int32_t> nearest_deficits();
  void relax(int32_t from, int32_t to, double reduced, int32_t holding, Queue& queue);
  void relax_members(int32_t cluster, Queue& queue);
  double farthest() const;
  void raise_prices(double distance);
  int64_t room_on_path(int32_t target) const;
  void augment(int32_t target, int64_t amount);
  void move(int32_t holding, int64_t amount, int32_t cluster);
};

}  // namespace cluscomp
