#include "run/review.h"

#include "core/abandon.h"
#include "io/error.h"
#include "io/host_platform.h"
#include "io/interrupt.h"

namespace imagewright {

Review::Review(const Project& project, const RunOptions& options, Progress& progress)
    : project_(project),
      options_(options),
      progress_(progress),
      selected_(select_images(project.config.images, options.images)),
      engine_(engine_for(project, options)),
      store_(read_store(project)),
      observer_(project),
      outside_(project, engine_->name()) {}

std::vector<Reviewed> Review::look(bool keep_inputs) {
  keep_inputs_ = keep_inputs;
  const auto warn = [this](const std::string& text) { progress_.warning(text); };
  observer_.remember_in(options_.remembered, options_.ask_anew);
  if (options_.remembered != nullptr) options_.remembered->drop_old_checkouts();
  observer_.ask_ahead(selected_);
  for (const std::string& warning : project_.warnings) warn(warning);
  for (const LeftOut& image : project_.config.left_out)
    progress_.step("Left out " + image.name + ": " + image.why);
  registry_state_.emplace(outside_, *engine_, options_, warn);
  judge_.emplace(store_, *engine_, project_.config.images, options_.force);
  observer_.expect(judge_->reaches());
  observer_.look_ahead(selected_);
  names_.emplace(project_.config.images, engine_->has_short_names(), host_platform());
  bases_.emplace(outside_, *engine_, *names_, judge_->bases(), warn);
  bases_->remember_in(options_.remembered, options_.ask_anew);
  publisher_.emplace(project_, options_, store_, outside_, *engine_, judge_->names());
  plan_ = make_plan(project_, observer_, *names_, selected_, [this](const PlannedImage& image) {
    bases_->want(*image.config, image.observation.links);
  });
  all_.resize(plan_.images.size());
  for (const std::size_t image : plan_.graph.order()) {
    if (interrupted() != 0) break;
    look_at(image);
  }
  if (options_.is_last) {
    abandon(plan_);
    judge_->abandon_rows();
  }
  return std::move(all_);
}

GitCommits Review::commits_since(const std::string& image, const std::string& before) {
  for (const PlannedImage& planned : plan_.images) {
    if (planned.config->name == image)
      return observer_.commits_since(*planned.config, planned.observation, before);
  }
  return {};
}

void Review::look_at(std::size_t i) {
  PlannedImage& planned = plan_.images[i];
  const ImageConfig& image = *planned.config;
  progress_.image_started(image.name);
  ImageStatus& status = all_[i].status;
  status.name = image.name;
  if (const ImageRow* row = judge_->last(image.name)) status.image_id = row->image_id;
  status.message = planned.error;
  if (planned.error.empty()) {
    try {
      judge(i, status);
    } catch (const Error& error) {
      if (error.kind() != Error::Kind::Source) throw;
      status.message = error.what();
    }
  }
  // (What a build follows, which wants them.)
  planned.observation.drop_files(status.standing == Standing::Stale ? options_.remembered
                                                                    : nullptr);
}

void Review::judge(std::size_t i, ImageStatus& status) {
  const ImageConfig& image = *plan_.images[i].config;
  Observation& observation = plan_.images[i].observation;
  status.source = observation.origin.source;
  if (observation.files) {
    for (const std::string& warning : observation.files->request.rules.warnings()) {
      progress_.warning(image.name + ": " + warning);
    }
  }
  StandsOn stands_on;
  stands_on.ground.bases = bases_->inputs(image, observation.links);
  for (const Edge& edge : plan_.graph.parents(i)) {
    const ImageStatus& parent = all_[edge.parent].status;
    stands_on.add_parent(
        parent.name, parent.image_id,
        parent.standing != Standing::UpToDate && parent.standing != Standing::Unpublished);
  }
  Decision decision = judge_->decide(image.name, observation.inputs, stands_on);
  auto& [verdict, manifest] = decision;
  if (verdict.build()) {
    observer_.name_changes(image, observation, judge_->last_context(image.name), verdict);
  }
  all_[i].digest = manifest.digest;
  all_[i].stale_parents = stands_on.stale;
  for (const Edge& edge : plan_.graph.parents(i)) {
    const Reviewed& parent = all_[edge.parent];
    all_[i].parents.push_back(parent.status.name);
    if (parent.is_only_found) all_[i].stale_parents.push_back(parent.status.name);
  }
  const auto found = find_in_registry(i, decision, stands_on);
  all_[i].is_only_found = found.has_value();
  if (found) verdict.reasons.clear();
  progress_.image_decided(image.name, verdict);
  if (keep_inputs_) {
    all_[i].inputs = manifest.inputs;
    all_[i].origin = observation.origin;
  }
  status.reasons = verdict.reasons;
  status.standing = verdict.build() ? Standing::Stale : Standing::UpToDate;
  if (found) {
    status.image_id = found->image_id;
    if (!found->in_engine) {
      status.in_registry = found->reference;
      status.message = "in its registry: " + found->reference;
    }
    return judge_publication(
        i, status,
        {found->image_id, found->built_ms, false, {}, found->reference, found->in_engine});
  }
  if (!verdict.build()) {
    const ImageRow& row = *judge_->last(image.name);
    return judge_publication(i, status,
                             {row.image_id, row.built_ms, false,
                              registry_state_->to_be_found_by(manifest.inputs, {row.digest})});
  }
  if (const auto failure = failed_attempt(store_, image.name, manifest.digest)) {
    status.standing = Standing::Failed;
    status.message = "last build failed: " + failure->message;
  }
}

// What is to be built may be in its registry. The decision is by what a build would read then.
std::optional<FoundImage> Review::find_in_registry(std::size_t i, Decision& decision,
                                                   const StandsOn& stands_on) {
  const ImageConfig& image = *plan_.images[i].config;
  Observation& observation = plan_.images[i].observation;
  if (!registry_state_->may_have(image, decision.verdict)) return std::nullopt;
  observer_.narrow(image, observation, [&](const Link& base) {
    if (const auto parent = find_parent(base, image))
      return bases_->parent_brings(image, base, *parent);
    return bases_->brings(image, base, decision.manifest.inputs, image.options.pull);
  });
  return registry_state_->find(image, make_manifest(observation.inputs, stands_on.ground),
                               observer_.platform_of(image), decision.verdict);
}

std::optional<ParentImage> Review::find_parent(const Link& link, const ImageConfig& image) const {
  const auto number = names_->find(link, image);
  if (!number) return std::nullopt;
  for (std::size_t i = 0; i < plan_.images.size(); ++i) {
    if (plan_.images[i].config != &project_.config.images[*number]) continue;
    return ParentImage{all_[i].status.image_id, all_[i].status.in_registry};
  }
  return std::nullopt;
}

void Review::judge_publication(std::size_t i, ImageStatus& status, const PublishedImage& image) {
  const ImageConfig& its = *plan_.images[i].config;
  Publication publication =
      publisher_->plan(its, plan_.images[i].observation, image, observer_.platform_of(its));
  publisher_->leave_out_what_is_there(publication);
  if (publication.empty()) return;
  status.standing = Standing::Unpublished;
  status.message = describe(publication);
}

}  // namespace imagewright
