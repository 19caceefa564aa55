#!/usr/bin/env bash
# Makes a folder with all that `gpu.py` needs on a machine without a network connection: this commit, MNIST, and wheels
# for Python 3.12 on x86-64 of what such a machine may lack beside JAX or PyTorch.
#
#     benchmarks/gpu_pack.sh FOLDER_OF_MNIST [NEW_FOLDER]        # runs/gpu_pack by default
#
# On the other machine, `bash NEW_FOLDER/run.sh OUT FLAGS_OF_GPU_PY` installs what is missing, runs gpu.py, and cuts the
# trained networks into files of 15 MiB; `cat OUT/networks.* | tar x` puts them together again.
set -euo pipefail
if [ $# -lt 1 ] || [ $# -gt 2 ]; then
  echo "gpu_pack.sh takes the folder with MNIST's four files and, if you like, the name of the new folder." >&2
  exit 2
fi
cd "$(dirname "$0")/.."
mnist=$1 folder=${2:-runs/gpu_pack} most=60
if [ -e "$folder" ]; then
  echo "gpu_pack.sh: $folder exists. Remove it first, or give another name." >&2
  exit 1
fi
trap 'rm -rf "$folder"' ERR
mkdir -p "$folder/mnist" "$folder/wheels"
for name in train-images-idx3 train-labels-idx1 t10k-images-idx3 t10k-labels-idx1; do
  cp "$mnist/$name-ubyte.gz" "$folder/mnist/"
done
git archive --format=tar.gz --prefix=repository/ -o "$folder/repository.tar.gz" HEAD
platforms=(); for glibc in 34 28 27 26 24 17; do platforms+=(--platform "manylinux_2_${glibc}_x86_64"); done
"${PYTHON:-python3}" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
  --python-version 3.12 --implementation cp "${platforms[@]}" --platform manylinux2014_x86_64 -d "$folder/wheels" \
  'keras>=3.15,<3.16' namex optree ml_dtypes rich absl-py markdown-it-py mdurl pygments packaging typing_extensions
cat >"$folder/run.sh" <<END
#!/usr/bin/env bash
set -euo pipefail
here=\$(cd "\$(dirname "\$0")" && pwd) site=\${SITE:-/tmp/gpu_site} out=\$1
shift
mkdir -p "\$site" "\$out"
export PYTHONPATH=\$site PYTHONUNBUFFERED=1 COMMIT=$(git rev-parse HEAD)
for module in keras namex optree ml_dtypes rich absl markdown_it mdurl pygments packaging typing_extensions; do
  case \$module in absl | markdown_it) wheel=\$module-py ;; *) wheel=\$module ;; esac
  python3 -c "import importlib.util, sys; sys.exit(not importlib.util.find_spec('\$module'))" ||
    python3 -m pip install --quiet --no-index --no-deps --find-links "\$here/wheels" --target "\$site" "\$wheel"
done
[ -d "\$site/repository" ] || tar xzf "\$here/repository.tar.gz" -C "\$site"
python3 "\$site/repository/benchmarks/gpu.py" --data_dir="\$here/mnist" --out="\$out" "\$@" 2>&1 | tee "\$out/log.txt" || true
cd "\$out"
folders=\$(find . -mindepth 1 -maxdepth 1 -type d)
if [ -n "\$folders" ]; then
  tar c \$folders | split -b 15M -d - networks.
  rm -r \$folders
fi
END
megabytes=$(du -sm "$folder" | cut -f1)
if [ "$megabytes" -gt "$most" ]; then
  rm -rf "$folder"
  echo "gpu_pack.sh: the folder would have $megabytes MB, and $most MB can be carried." >&2
  exit 1
fi
echo "$folder: $megabytes MB"
