# Copies programs and libraries of Debian packages into the store, so that they find each other there and nowhere else.
# Sourced by the builders of debian.nix, in which `out`, `debs` (the packages), and `glibc` are set.
shopt -s extglob
triplet=$(gcc -print-multiarch)
system=/usr/lib/$triplet

# What the package glibc has, and no other package brings.
from_glibc() {
    case $1 in
        ld-linux* | libnss_* | lib@(anl|c|crypt|dl|gcc_s|m|mvec|nsl|pthread|resolv|rt|stdc++|util).so.*) return 0 ;;
        *) return 1 ;;
    esac
}
is_elf() { [ -f "$1" ] && [ "$(head -c 4 "$1" | tr -d '\0')" = $'\177ELF' ]; }

# Files of a package. `dpkg -L` in a pipe would fail silently.
files_of() {
    local list
    list=$(dpkg -L "$1")
    printf '%s\n' "$list"
}

copy_elf() { # from, to
    local library name
    rm -f "$2"
    install -D -m 755 "$1" "$2"
    patchelf --force-rpath --set-rpath "$out/lib:$glibc/lib" "$2"
    if patchelf --print-interpreter "$2" >/dev/null 2>&1; then
        patchelf --set-interpreter "$glibc/lib/ld-linux-x86-64.so.2" "$2"
    fi
    # Also libraries of libraries: ldd lists them all.
    ldd "$1" 2>/dev/null | sed -nE 's/.* => (\/[^ ]+) .*/\1/p' | while read -r library; do
        name=$(basename "$library")
        from_glibc "$name" || [ -e "$out/lib/$name" ] || copy_elf "$(realpath "$library")" "$out/lib/$name"
    done
}

programs_of() {
    local file real
    files_of "$1" | grep -E '^(/usr)?/s?bin/[^/]+$' | while read -r file; do
        real=$(realpath -e "$file") || continue
        [ -f "$real" ] && [ ! -e "$out/bin/$(basename "$file")" ] || continue
        if is_elf "$real"; then copy_elf "$real" "$out/bin/$(basename "$file")"
        else install -D -m 755 "$real" "$out/bin/$(basename "$file")"; fi
    done
}

# For what only a build runs, in the sandbox that sees /usr.
link_programs_of() {
    local file
    mkdir -p "$out/bin"
    files_of "$1" | grep -E '^(/usr)?/s?bin/[^/]+$' | while read -r file; do ln -sf "$file" "$out/bin/"; done
}

header() { # file, the folder that is /include
    [ ! -f "$1" ] || install -D -m 644 "$1" "$out/include/${1#"$2"/}"
}

library_of() {
    local file name link
    files_of "$1" | while read -r file; do
        name=$(basename "$file")
        case $file in
            /usr/include/"$triplet"/*) header "$file" "/usr/include/$triplet" ;;
            /usr/include/*) header "$file" /usr/include ;;
            */pkgconfig/*.pc)
                mkdir -p "$out/lib/pkgconfig"
                # Libraries of libraries are found by their rpath.
                sed -E "s#^((exec_)?prefix)=.*#\1=$out#; s#^libdir=.*#libdir=$out/lib#; s#^includedir=.*#includedir=$out/include#
                    /^(Requires|Libs).private/d" "$file" >"$out/lib/pkgconfig/$name" ;;
            *.so | *.so.*)
                mkdir -p "$out/lib"
                if [ -L "$file" ]; then ln -sf "$(basename "$(readlink "$file")")" "$out/lib/$name"
                elif is_elf "$file"; then copy_elf "$file" "$out/lib/$name"; fi ;;
        esac
    done
    # A link may point to a library of a package that was not named.
    for link in "$out"/lib/*; do
        if [ -L "$link" ] && [ ! -e "$link" ]; then
            name=$(readlink "$link")
            copy_elf "$(realpath "$system/$name")" "$out/lib/$name"
        fi
    done
}

# glibc, libgcc and libstdc++ in one folder; linker scripts name the files there.
glibc_of() {
    local deb file name program
    mkdir -p "$out/lib" "$out/include" "$out/bin"
    for deb in "$@"; do
        files_of "$deb" | while read -r file; do
            name=$(basename "$file")
            case $file in
                /usr/include/"$triplet"/*) header "$file" "/usr/include/$triplet" ;;
                /usr/include/c++/*) ;;
                /usr/include/*) header "$file" /usr/include ;;
                */gconv/* | */audit/*) ;;
                "$system"/*.so | "$system"/*.so.* | "$system"/*.o | "$system"/*.a | /lib/"$triplet"/*.so* | /usr/lib64/*.so* | /lib64/*.so*)
                    [ -e "$file" ] || continue
                    if [ "${file%.so}" != "$file" ] && ! is_elf "$(realpath "$file")"; then
                        sed -E "s#(/usr)?/lib/$triplet/#$out/lib/#g; s#/lib64/#$out/lib/#g" "$file" >"$out/lib/$name"
                    else
                        cp -L "$file" "$out/lib/$name"
                    fi ;;
                /usr/bin/getconf | /usr/bin/ldd | /usr/bin/iconv | /usr/bin/locale | /usr/bin/getent) cp "$file" "$out/bin/" ;;
            esac
        done
    done
    cp -L /lib64/ld-linux-x86-64.so.2 "$system/libgcc_s.so.1" "$system/libstdc++.so.6" "$out/lib/"
    ln -s libgcc_s.so.1 "$out/lib/libgcc_s.so"
    ln -s lib "$out/lib64"
    for program in "$out"/bin/*; do
        if is_elf "$program"; then
            patchelf --set-interpreter "$out/lib/ld-linux-x86-64.so.2" --set-rpath "$out/lib" "$program"
        fi
    done
    for name in libstdc++.so.6 libgcc_s.so.1 libcrypt.so.1; do
        [ ! -e "$out/lib/$name" ] || patchelf --set-rpath "$out/lib" "$out/lib/$name"
    done
}
