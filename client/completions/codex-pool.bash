# bash completion for codex-pool and codex-poold

_codex_pool() {
    local word=${COMP_WORDS[COMP_CWORD]} value about
    local -a words=()
    # Where "=" divides words, it is one of them.
    [[ $word != = ]] || word=
    for value in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ $value == = ]] || words+=("$value")
    done
    COMPREPLY=()
    while IFS=$'\t' read -r value about; do
        case $value in
        :files)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            ;;
        :dirs)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -d -- "$word")
            ;;
        "$word"*) COMPREPLY+=("$value") ;;
        esac
    done < <(@PREFIX@/share/codex-pool/candidates "$1" "${words[@]}" "$word" 2>/dev/null)
}

complete -F _codex_pool codex-pool codex-poold
