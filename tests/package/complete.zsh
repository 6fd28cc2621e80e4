# zsh -f complete.zsh DIRECTORY LINE: what zsh offers at the end of the line, by the completions in the directory, one a
# line. Only an interactive zsh on a terminal completes: one is started for it; what it reads is kept in $TMPDIR.
zmodload zsh/zpty || exit 1
offered=$(mktemp)
zpty asked zsh -f -i
zpty -w asked "PS1= PS2= RPS1=; fpath=(${(q)1} \$fpath); autoload -Uz compinit; compinit -C -u -d \$TMPDIR/zcompdump; bindkey '^I' complete-word"
zpty -w asked "compadd() { local -a hits; builtin compadd -A hits \"\$@\"; print -l -- \$hits >>$offered; }
over() { print is over; }; zle -N over; bindkey '^G' over; print is ready"
while zpty -r asked line; do
    [[ $line == 'is ready'* ]] && break
done
# The last key is read when the completion is through.
zpty -w -n asked "$2"$'\t\C-g'
while zpty -r asked line; do
    [[ $line == *'is over'* ]] && break
done
zpty -d asked
cat $offered
rm $offered
