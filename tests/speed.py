"""Which tests `make test-fast` and `make test` leave out, and why.

Each line is a folder, a file or a test below tests/. What is not named here is
fast: at most a second or so a test on two idle cores. Every room of the package
keeps fast tests (tests/speed_test.py).
"""

# They train, compile or draw for seconds.
SLOW = (
  'audit/many_classes_test.py::test_twenty',
  'benchmarks/accelerator_test.py::test_the_tables',
  'benchmarks/coverage_test.py::test_the_table',
  'benchmarks/full_size_test.py::test_the_images_written',
  'configs_test.py',
  'contributing_test.py::test_a_recipe_is_complete',
  'contributing_test.py::test_all_recipes',
  'data/dataset_test.py::test_a_wrong_data_dir',
  'data/decoding_test.py',
  'data/exported_test.py',
  'data/packed_test.py',
  'data/sources/hugging_face_test.py',
  'data/sources/tfds_reader_test.py',
  'data/sources/tfds_test.py',
  'decoders/worker_test.py::test_rate',
  'examples_test.py',
  'exporting/formats_test.py',
  'exporting/libraries_test.py',
  'exporting/tfds_filter_test.py::test_a_set',
  'exporting/tfds_filter_test.py::test_the_filter_gives',
  'exporting/torch_subset_test.py::test_rows_of_hugging',
  'feeding/augmentation_test.py::test_a_resized_crop',
  'feeding/augmentation_test.py::test_augmentation_is',
  'feeding/augmentation_test.py::test_color_jitter',
  'feeding/augmentation_test.py::test_crop_and_flip',
  'feeding/augmentation_test.py::test_each_image_is_cropped',
  'feeding/augmentation_test.py::test_networks_see',
  'feeding/augmentation_test.py::test_no_padding',
  'feeding/augmentation_test.py::test_resized_crops',
  'feeding/placement_test.py',
  'field',
  'forecast/programs_test.py::test_calls',
  'forecast/programs_test.py::test_evaluation_sees',
  'forecast/programs_test.py::test_every_program',
  'forecast/programs_test.py::test_pixels_are_sent',
  'forecast/programs_test.py::test_stages_run_what',
  'forecast/programs_test.py::test_training_evaluation',
  'gradient_norms/grad_norm_test.py::test_a_network_for_tpus',
  'gradient_norms/grad_norm_test.py::test_bfloat16',
  'gradient_norms/grad_norm_test.py::test_chosen_leaves',
  'gradient_norms/grad_norm_test.py::test_digits_lost',
  'gradient_norms/grad_norm_test.py::test_every_form_is_exact',
  'gradient_norms/grad_norm_test.py::test_falls_back',
  'gradient_norms/grad_norm_test.py::test_is_differentiable',
  'gradient_norms/grad_norm_test.py::test_matches_the_plain_gradient',
  'gradient_norms/grad_norm_test.py::test_not_a_number',
  'gradient_norms/grad_norm_test.py::test_params_may_be_batched',
  'gradient_norms/grad_norm_test.py::test_sharded_over_devices',
  'gradient_norms/grad_norm_test.py::test_squared',
  'gradient_norms/grad_norm_test.py::test_the_fast_path',
  'gradient_norms/grad_norm_test.py::test_the_square_of_a_half',
  'gradient_norms/grad_norm_test.py::test_zero',
  'importing/import_test.py::test_arrays_that_do_not',
  'importing/import_test.py::test_few_epochs',
  'importing/import_test.py::test_held_out',
  'importing/import_test.py::test_logits_give',
  'importing/import_test.py::test_losses_give',
  'importing/import_test.py::test_probabilities_below',
  'importing/import_test.py::test_probabilities_give',
  'importing/import_test.py::test_rows_are_joined',
  'importing/import_test.py::test_runs_are',
  'importing/import_test.py::test_the_other_stages',
  'importing/run_test.py::test_an_import_that_was',
  'importing/run_test.py::test_it_selects',
  'importing/run_test.py::test_what_is_given_must',
  'importing/torch_test.py::test_a_training',
  'inspection/duplicates_test.py',
  'inspection/embedding_map_test.py::test_groups_lie_together',
  'inspection/neighbours_test.py::test_of_very_many',
  'models/batch_norm_test.py::test_devices_that_share',
  'models/batch_norm_test.py::test_it_is_flaxs',
  'models/batch_norm_test.py::test_where_it_rests',
  'models/efficientnet_test.py',
  'models/layers_test.py',
  'models/models_test.py::test_networks_have_as_many',
  'models/models_test.py::test_what_is_dropped',
  'models/resnet_test.py',
  'models/vision_transformer_test.py::test_images_are_resized',
  'models/weights_of_others_test.py',
  'models/weights_test.py::test_every_leaf',
  'models/weights_test.py::test_what_does_not_fit',
  'pipeline_test.py',
  'plugin_test.py::test_a_plugin_adds',
  'readme_test.py::test_the_example_in_python',
  'reporting/advice_test.py::test_it_is_the_last',
  'reporting/audit_test.py::test_an_audit_that',
  'reporting/audit_test.py::test_lists',
  'reporting/audit_test.py::test_suspects_without',
  'reporting/audit_test.py::test_the_confusion_is',
  'reporting/audit_test.py::test_the_page_says',
  'reporting/changed_test.py::test_a_workdir_before',
  'reporting/changed_test.py::test_the_page',
  'reporting/charts_test.py',
  'reporting/figures_test.py',
  'reporting/grid_test.py',
  'reporting/inspection_test.py::test_flags_groups',
  'reporting/inspection_test.py::test_leaks_come_first',
  'reporting/noise_test.py::test_the_report_says',
  'reporting/page_test.py',
  'reporting/report_test.py',
  'reporting/rounding_test.py::test_imagenet',
  'reporting/rounding_test.py::test_the_page',
  'reporting/thumbnails_test.py::test_coded_thumbnails',
  'reviewing/serve_test.py::test_the_command_serves',
  'scoring/api_test.py',
  'scoring/deepfool_test.py::test_it_is_a_score',
  'scoring/dynamics_test.py::test_accumulated',
  'scoring/dynamics_test.py::test_windowed_deviations',
  'scoring/engine_test.py',
  'scoring/forward_test.py::test_grand_last_is',
  'scoring/gradient_test.py',
  'selection/select_test.py::test_nested_policies',
  'stages',
  'training/dropout_test.py',
  'training/elastic_test.py',
  'training/extra_tests_test.py',
  'training/history_test.py::test_a_full_disk',
  'training/history_test.py::test_clu',
  'training/history_test.py::test_event_files',
  'training/history_test.py::test_what_tells',
  'training/in_flight_test.py',
  'training/initial_test.py',
  'training/jobs_test.py',
  'training/loop_test.py',
  'training/losses_test.py',
  'training/profiling_test.py::test_a_training',
  'training/recorders_test.py::test_a_score_asked',
  'training/recorders_test.py::test_a_stopped_run',
  'training/recorders_test.py::test_an_update',
  'training/recorders_test.py::test_its_arrays',
  'training/recorders_test.py::test_what_no_score',
  'training/resume_test.py',
  'training/stream_test.py',
  'training/trainable_test.py',
  'training/trainer_test.py',
  'training/vector_test.py::test_a_state_is',
  'training/vector_test.py::test_the_vector',
  'training/vector_test.py::test_where_parameters',
)

# Fast, though their folder is slow.
FAST = ('stages/context_test.py::test_scores_depend',)

# They start the program, scripts or servers in processes of their own.
PROCESSES = (
  'browser',
  'browser_install_test.py',
  'config/flags_test.py',
  'config/help_test.py::test_a_wrong_command',
  'config/help_test.py::test_every_command',
  'config/help_test.py::test_help_shows',
  'config/sweep_test.py::test_a_number_without',
  'config/sweep_test.py::test_a_sweep_by_the_command_line',
  'data/cache_test.py',
  'importing/import_test.py::test_the_command',
  'launch',
  'main_test.py',
  'packaging_test.py::test_a_function_says',
  'packaging_test.py::test_digits_say',
  'packaging_test.py::test_policies_say',
  'packaging_test.py::test_scores_of_arrays',
  'packaging_test.py::test_the_export_says',
  'packaging_test.py::test_the_program_says',
  'predecessor_test.py',
  'processes',
  'results/results_test.py::test_reading_needs',
  'runtime/compilation_test.py',
  'runtime/processes_test.py',
  'runtime/stopping_test.py',
  'slurm',
  'storage',
  'tools',
  'workdir/lock_test.py',
)

# They reach a package index or another host.
NETWORK = ('wheel',)

# They take minutes, or repeat in full what a shorter test does in small: `make
# test-long` runs them, `make test` does not.
LONG = (
  'configs_test.py::test_resnet18',
  'configs_test.py::test_resnet50',
  'gradient_norms/grad_norm_test.py::test_whole_networks',
  'stages/folds_test.py::test_one_two_four',
)

MARKS = {
  'slow': SLOW,
  'long': LONG,
  'processes': PROCESSES,
  'network': NETWORK,
}


def marks_of(nodeid: str) -> list[str]:
  """The marks of a test.

  Args:
    nodeid: of pytest, such as 'tests/stages/train_test.py::test_it'.
  """
  test = nodeid.removeprefix('tests/')
  if any(_starts_with(test, start) for start in FAST):
    return []
  return [
    mark
    for mark, starts in MARKS.items()
    if any(_starts_with(test, start) for start in starts)
  ]


def _starts_with(test: str, start: str) -> bool:
  if '::' in start:  # The beginning of a name.
    return test.startswith(start)
  return test.startswith((f'{start}/', f'{start}::'))
