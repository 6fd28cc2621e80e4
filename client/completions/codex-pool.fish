# fish completion for codex-pool and codex-poold

function __codex_pool_candidates
    set -l words (commandline -opc)
    for line in (@PREFIX@/share/codex-pool/candidates $words[1] $words[2..] (commandline -ct) 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path (string replace -r '^--[a-z-]+=' '' -- (commandline -ct))
            case :dirs
                __fish_complete_directories (string replace -r '^--[a-z-]+=' '' -- (commandline -ct)) ''
            case '*'
                echo $line
        end
    end
end

complete -c codex-pool -f -a '(__codex_pool_candidates)'
complete -c codex-poold -f -a '(__codex_pool_candidates)'
