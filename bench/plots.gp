# Draws what was measured; run in the directory of the data.
set terminal svg size 900,480 font "sans,13" background "white"
set datafile separator "\t"
set datafile missing "?"
set style fill solid 0.85 border -1
set grid ytics lc rgb "#dddddd"
set key top left noenhanced
alcove = "#b03060"
limit = "#808080"
port = "#4477aa"

there(file) = int(system("test -s " . file . " && echo 1 || echo 0"))

if (there("calls.dat")) {
    set output "calls.svg"
    set title "A call and its reply"
    set xlabel "percentile"
    set ylabel "microseconds"
    set logscale y
    stats "calls.dat" using 1 nooutput
    plot for [i = 0:STATS_blocks - 1] "calls.dat" index i using 1:2 \
        with linespoints lw 2 pt 7 ps 0.5 title columnheader(1)
    unset logscale y
}

if (there("callers.dat")) {
    set output "callers.svg"
    set title "Calls a second, on as many processes"
    set xlabel "callers"
    set ylabel "calls/s"
    set logscale x
    set xtics (1, 10, 100)
    set yrange [0:*]
    plot "callers.dat" using 1:2 with linespoints lw 2 pt 7 lc rgb alcove title "alcove", \
        "" using 1:3 with linespoints lw 2 pt 7 lc rgb limit title "pairs of processes", \
        "" using 1:4 with linespoints lw 2 pt 7 lc rgb port title "open_port"
    unset logscale x
    set xtics autofreq
}

set style data histogram
set style histogram cluster gap 1
set yrange [0:*]
unset xlabel
if (there("processes.dat")) {
    set output "processes.svg"
    set title "Processes a second, one after the other"
    set ylabel "1/s"
    plot "processes.dat" using 2:xtic(1) lc rgb alcove title "alcove", \
        "" using 3 lc rgb limit title "bare system calls", \
        "" using 4 lc rgb port title "open_port"
}

if (there("streams.dat")) {
    set output "streams.svg"
    set title "Streams"
    set ylabel "MB/s"
    plot "streams.dat" using 2:xtic(1) lc rgb alcove title "alcove", \
        "" using 3 lc rgb limit title "bare loop", \
        "" using 4 lc rgb port title "open_port"
}

if (there("ratios.dat")) {
    set output "ratios.svg"
    set terminal svg size 900,640 font "sans,13" background "white"
    set title "alcove against the limit of the machine (1; more is better)"
    unset ylabel
    set xtics rotate by -40
    set bmargin 9
    set rmargin 9
    set yrange [0:*<4]
    set arrow from graph 0, first 1 to graph 1, first 1 nohead lc rgb limit lw 2 dt 2
    plot "ratios.dat" using 2:xtic(1) lc rgb alcove notitle
}
