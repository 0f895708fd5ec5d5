"""Tests of the table of forms on TPUs, and of the program that makes it."""

import json

import jax

from datadiet.gradient_norms import cost
from datadiet.gradient_norms.convolution import ConvGeometry
from tools import site_costs


def test_the_table_knows_every_convolution_of_resnet18():
  known = {shape for shape, _ in cost._table(cost.TABLES['tpu'])}
  found = {
    ConvGeometry.of(equation).site_shape
    for equation in site_costs.equations_of('resnet18_lowres')
  }
  assert len(found) == 11 and found <= known


def test_products_of_positions_with_positions_are_left_out_where_many(
  monkeypatch,
):
  monkeypatch.setattr(site_costs, 'cycles_of', lambda *unused: 1.0)
  forms = [
    (ConvGeometry.of(equation).site_shape.num_positions, {*costs})
    for equation in site_costs.equations_of('simple_cnn')
    for costs in [site_costs.costs_at(equation, None)]
  ]
  for num_positions, found in forms:
    is_early = num_positions > 300
    assert found >= ({'direct', 'flat'} if is_early else {'flat', 'gram'})
    assert ('gram' in found) != is_early
  assert {num_positions for num_positions, _ in forms} == {1024, 256, 64, 16}


def test_what_is_written_is_read_back(tmp_path, monkeypatch, capsys):
  path = tmp_path / 'costs.json'
  monkeypatch.setattr(site_costs, 'costs_at', lambda *unused: {'flat': 2.0})
  monkeypatch.setattr(site_costs.metadata, 'version', lambda name: '1')
  machine = type('Machine', (), {'devices': jax.devices()})
  monkeypatch.setattr(site_costs, 'open_machine', lambda name: machine)
  flags = ['site_costs', '--networks', 'simple_cnn', f'--output={path}']
  monkeypatch.setattr('sys.argv', flags)
  site_costs.main()
  first = path.read_text()
  rows = cost._table(path)
  assert rows and {tuple(costs.items()) for _, costs in rows} == {
    (('flat', 2.0),)
  }
  assert json.loads(first)['compiler'] == 'libtpu 1'
  capsys.readouterr()
  site_costs.main()  # Nothing is left to do.
  assert path.read_text() == first and not capsys.readouterr().out


def test_without_a_site_alike_the_cost_model_decides(tmp_path, monkeypatch):
  path = tmp_path / 'empty.json'
  path.write_text('{"sites": []}')
  monkeypatch.setitem(cost.TABLES, 'tpu', path)
  shape = cost.SiteShape(1, 1024, 576, 64, 9, 1156)
  assert cost.cheapest_form(shape, 'tpu', True) == 'direct'
